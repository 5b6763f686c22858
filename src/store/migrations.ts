/**
 * The schema, as steps in order: step n leads from version n to n + 1. A step that has been released is never edited; changes are appended.
 *
 * What is written once stays: attempts, checks, trainings and reviews are histories. A candidate points at the training and the
 * review that count. Small columns come before large ones, and sums that lists need are covered by an index, so that a list never
 * reads a prompt, a reply or a module.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE cycles (
    id INTEGER PRIMARY KEY,
    mode TEXT NOT NULL,
    planned INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    started TEXT NOT NULL,
    ended TEXT
  ) STRICT;
  -- Cycle 0 holds the seeds and imports.
  INSERT INTO cycles VALUES (0, 'seed', 0, 0, strftime('%Y-%m-%dT%H:%M:%fZ'), strftime('%Y-%m-%dT%H:%M:%fZ'));

  CREATE TABLE candidates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    cycle INTEGER NOT NULL REFERENCES cycles,
    name TEXT NOT NULL UNIQUE,
    mode TEXT NOT NULL,
    parent INTEGER REFERENCES candidates,
    seed INTEGER NOT NULL,
    created TEXT NOT NULL,
    outcome TEXT,
    error_message TEXT,
    error_line INTEGER,
    error_source TEXT,
    compared INTEGER NOT NULL DEFAULT 0,
    novelty_text REAL,
    novelty_structure REAL,
    nearest_text INTEGER REFERENCES candidates,
    nearest_structure INTEGER REFERENCES candidates,
    training INTEGER REFERENCES trainings,
    proposed INTEGER NOT NULL DEFAULT 0,
    review INTEGER REFERENCES reviews,
    idea TEXT,
    code TEXT
  ) STRICT;
  CREATE INDEX candidates_cycle ON candidates (cycle);
  CREATE INDEX candidates_outcome ON candidates (outcome);
  CREATE INDEX candidates_proposed ON candidates (id) WHERE proposed;
  CREATE INDEX candidates_review ON candidates (review) WHERE review IS NOT NULL;

  CREATE TABLE attempts (
    candidate INTEGER NOT NULL REFERENCES candidates,
    number INTEGER NOT NULL,
    at TEXT NOT NULL,
    model TEXT NOT NULL,
    sampling TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    seconds REAL NOT NULL,
    finish TEXT NOT NULL,
    failure TEXT,
    code TEXT,
    reply TEXT NOT NULL,
    prompt BLOB NOT NULL,
    PRIMARY KEY (candidate, number)
  ) STRICT;
  CREATE INDEX attempts_seconds ON attempts (candidate, seconds);

  -- attempt 0: the check of a seed or import, which nobody was asked for.
  CREATE TABLE checks (
    candidate INTEGER NOT NULL REFERENCES candidates,
    attempt INTEGER NOT NULL,
    at TEXT NOT NULL,
    seconds REAL NOT NULL,
    parameters INTEGER,
    failure TEXT,
    PRIMARY KEY (candidate, attempt)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE graphs (
    candidate INTEGER PRIMARY KEY REFERENCES candidates,
    graph BLOB NOT NULL
  ) STRICT;

  CREATE TABLE trainings (
    id INTEGER PRIMARY KEY,
    candidate INTEGER NOT NULL REFERENCES candidates,
    at TEXT NOT NULL,
    protocol TEXT NOT NULL,
    validation REAL,
    test REAL,
    seconds REAL NOT NULL,
    peak_memory_mib REAL,
    failure TEXT
  ) STRICT;
  CREATE INDEX trainings_candidate ON trainings (candidate);

  CREATE TABLE reviews (
    id INTEGER PRIMARY KEY,
    candidate INTEGER NOT NULL REFERENCES candidates,
    at TEXT NOT NULL,
    accepted INTEGER NOT NULL,
    reviewer TEXT NOT NULL,
    reason TEXT
  ) STRICT;
  CREATE INDEX reviews_candidate ON reviews (candidate);
  CREATE INDEX reviews_accepted ON reviews (accepted);

  -- Fingerprints of the novelty index: derived from code and graph, so a newer version of them simply replaces these. Signatures
  -- are all read when the index opens, hashes one by one: apart, the first reading stays small.
  CREATE TABLE signatures (
    candidate INTEGER PRIMARY KEY REFERENCES candidates,
    version INTEGER NOT NULL,
    text BLOB NOT NULL,
    structure BLOB NOT NULL
  ) STRICT;
  CREATE TABLE hashes (
    candidate INTEGER PRIMARY KEY REFERENCES candidates,
    text BLOB NOT NULL,
    structure BLOB NOT NULL
  ) STRICT;
  `,
  `
  -- Of the designer that wrote the cycle's candidates; 0: the base model alone.
  ALTER TABLE cycles ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;

  CREATE TABLE generations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    parent INTEGER NOT NULL,
    cycle INTEGER NOT NULL REFERENCES cycles,
    accepted INTEGER NOT NULL,
    state TEXT NOT NULL,
    base TEXT NOT NULL,
    settings TEXT NOT NULL,
    started TEXT NOT NULL,
    ended TEXT,
    run TEXT,
    probe TEXT,
    ollama TEXT,
    error TEXT
  ) STRICT;
  -- Which generation designed from when on; the last row counts.
  CREATE TABLE designers (
    id INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    at TEXT NOT NULL
  ) STRICT;
  `,
];
