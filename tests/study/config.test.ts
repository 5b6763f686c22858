import { expect, test } from "vitest";
import { toJSONSchema } from "zod";
import { PAPER, parseStudyConfig, protocolOf, studySchema, underProtocol } from "../../src/study/config.ts";

const minimal = { name: "demo", data: { dataset: "cifar10" } };
const parse = (value: unknown) => parseStudyConfig(JSON.stringify(value), "netwright.json");
const messageOf = (value: unknown) => {
  try {
    parse(value);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("the configuration was taken");
};

test("a name and a data set are enough; the rest has defaults", () => {
  const config = parse(minimal);
  expect(config.limits.parameters).toBe(500_000);
  expect(config.designer.provider).toBe("auto");
  expect(config.novelty).toEqual({ text: null, structure: 1 });
  expect(config.admission).toEqual({ accuracy: 0.4, fallback: 0.35, quantile: null, policy: "review" });
});

test.each([
  [{ ...minimal, designer: { temperature: 3 } }, /designer\.temperature is 3; allowed: at most 2/],
  [
    { ...minimal, designer: { provider: "openai" } },
    /designer\.provider is "openai"; allowed: "auto", "ollama", "llama\.cpp"/,
  ],
  [{ ...minimal, protocol: { batch: 1.5 } }, /protocol\.batch is 1\.5; allowed: a whole number/],
  [{ ...minimal, protocol: { batch: "64" } }, /protocol\.batch is "64"; allowed: a value of type number/],
  [{ ...minimal, protocol: { batch: 0 } }, /protocol\.batch is 0; allowed: at least 1/],
  [
    { ...minimal, limits: { memory: 5 } },
    /limits\.memory: unknown key; allowed: parameters, checkSeconds, trainSeconds, memoryMiB/,
  ],
  [{ ...minimal, protocol: { validationImages: 0 } }, /protocol\.validationImages is 0; allowed: at least 1/],
  [{ ...minimal, colour: "red" }, /colour: unknown key; allowed: .*designer/],
  [{ name: "demo" }, /data is missing/],
  [{ ...minimal, name: "1 study" }, /name is "1 study"; allowed: a letter/],
  [{ ...minimal, trainer: { device: "tpu" } }, /trainer\.device is "tpu"; allowed: auto, cpu or cuda:N/],
])("a mistake names the key, the value and what is allowed: %j", (value, message) => {
  expect(messageOf(value)).toMatch(message);
});

test("several mistakes are told at once", () => {
  const message = messageOf({ ...minimal, protocol: { batch: 0, lr: -1 } });
  expect(message).toMatch(/mistakes:/);
  expect(message).toMatch(/protocol\.batch/);
  expect(message).toMatch(/protocol\.lr is -1; allowed: more than 0/);
});

test("text that is no JSON is told as such, with the file", () => {
  expect(() => parseStudyConfig("{", "here/netwright.json")).toThrow(/here\/netwright\.json is not valid JSON/);
});

test("what is held out fits the data set, unless a study says otherwise", () => {
  const held = (part: object) => protocolOf(parse({ ...minimal, ...part })).validationImages;
  expect(held({})).toBe(5000);
  expect(held({ data: { dataset: "digits" } })).toBe(300);
  expect(held({ protocol: { validationImages: 100 } })).toBe(100);
});

test("the paper protocol holds nothing out", () => {
  const config = parse({ ...minimal, ...PAPER });
  expect(protocolOf(config)).toMatchObject({ name: "paper", batch: 16, lr: 0.01, momentum: 0.9, validationImages: 0 });
  expect(config.novelty.text).toBe(0.9);
});

test("the paper's name alone stands for its settings", () => {
  const { protocol } = parse({ ...minimal, protocol: { name: "paper" } });
  expect(protocol).toMatchObject({ epochs: 1, batch: 16, lr: 0.01, momentum: 0.9, trainImages: null });
});

test.each([
  ["epochs", 2, "1"],
  ["batch", 64, "16"],
  ["lr", 0.05, "0.01"],
  ["momentum", 0, "0.9"],
  ["trainImages", 10_000, "null"],
  ["validationImages", 5000, "null"],
])("figures that bear the paper's name stand under its settings: %s", (key, value, allowed) => {
  const message = messageOf({ ...minimal, protocol: { name: "paper", [key]: value } });
  expect(message).toContain(`protocol.${key} is ${value}; allowed: ${allowed}, as published`);
});

test("a study can be measured under the other protocol, wholly", () => {
  const study = parse({
    ...minimal,
    protocol: { epochs: 3, batch: 64, trainImages: 1000, validationImages: 100, seed: 7 },
  });
  const paper = underProtocol(study, "paper");
  expect(parse(paper)).toEqual(paper);
  expect(protocolOf(paper)).toMatchObject({ ...PAPER.protocol, validationImages: 0, seed: 7 });
  expect(underProtocol(study, "validation")).toEqual(study);
  expect(protocolOf(underProtocol(parse({ ...minimal, ...PAPER }), "validation"))).toMatchObject({
    ...{ name: "validation", validationImages: 5000 },
  });
});

test("the editor explains every key and every section", () => {
  interface Described {
    description?: string;
    properties?: Record<string, Described>;
  }
  const unexplained = ({ properties = {} }: Described, path: string[]): string[] =>
    Object.entries(properties).flatMap(([key, schema]) => [
      ...(schema.description ? [] : [[...path, key].join(".")]),
      ...unexplained(schema, [...path, key]),
    ]);
  const schema = toJSONSchema(studySchema, { io: "input", target: "draft-7" }) as Described;
  expect(Object.keys(schema.properties ?? {})).toContain("tuner");
  expect(unexplained(schema, [])).toEqual([]);
});
