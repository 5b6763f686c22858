/** A server that speaks Ollama's protocol and answers from a script: what a real model writes cannot be foreseen. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export const SCRIPTED_MODEL = "scripted-coder:1b";

export interface Scripted {
  host: string;
  /** What it was asked, in order. */
  asked: string[];
  /** Its models, by name; some may be made and deleted. */
  models: Set<string>;
  /** Those in its memory. */
  loaded: Set<string>;
  /** What each was last made of. */
  made: Map<string, Record<string, unknown>>;
  /** What it says to whoever makes a model, and to whoever asks one; null: it does as it is asked. */
  refusesToMake: string | null;
  refusesToAnswer: string | null;
  /** Breaks its connections, and goes on. */
  hangUp(): void;
  close(): void;
}

/** `answer` gets the conversation's text, the number of the question, from 0, and the model; null: no answer ever. */
export async function scriptedOllama(
  answer: (text: string, question: number, model: string) => string | null | Promise<string | null>,
  delay = 0,
): Promise<Scripted> {
  const asked: string[] = [];
  const models = new Set([SCRIPTED_MODEL]);
  const loaded = new Set<string>();
  const scripted: Scripted = {
    ...{ host: "", asked, models, loaded, made: new Map(), refusesToMake: null, refusesToAnswer: null },
    hangUp: () => server.closeAllConnections(),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
  const server = createServer(async (request, response) => {
    const send = (value: unknown) => response.write(`${JSON.stringify(value)}\n`);
    response.setHeader(
      "Content-Type",
      /chat|create|pull/.test(request.url ?? "") ? "application/x-ndjson" : "application/json",
    );
    const account = (name: string) => ({
      ...{ name, model: name, size: 1e9 },
      details: { parameter_size: "1B", quantization_level: "Q4_0" },
    });
    if (request.url === "/api/tags") send({ models: [...models].map(account) });
    else if (request.url === "/api/ps") send({ models: [...loaded].map(account) });
    else if (request.url?.startsWith("/api/blobs/")) {
      await drained(request);
      response.statusCode = request.method === "HEAD" ? 404 : 201;
    } else if (request.url === "/api/create") {
      const { model, ...of } = (await body(request)) as { model: string };
      if (scripted.refusesToMake !== null) send({ error: scripted.refusesToMake });
      else {
        models.add(model);
        scripted.made.set(model, of);
        send({ status: "success" });
      }
    } else if (request.url === "/api/delete") {
      const { model, name } = (await body(request)) as { model?: string; name?: string };
      models.delete(model ?? name ?? "");
    } else if (request.url === "/api/pull") {
      const { model, name } = (await body(request)) as { model?: string; name?: string };
      models.add(model ?? name ?? "");
      send({ status: "success" });
    } else if (request.url === "/api/version") send({ version: "0.17.4" });
    else if (request.url === "/api/chat") {
      const question = (await body(request)) as {
        model: string;
        messages?: { content: string }[];
        keep_alive?: number | string;
      };
      const { model, messages = [] } = question;
      if (question.keep_alive === 0) loaded.delete(model);
      else loaded.add(model);
      if (messages.length > 0 && scripted.refusesToAnswer !== null) {
        response.writeHead(500).end(JSON.stringify({ error: scripted.refusesToAnswer }));
        return;
      }
      if (messages.length > 0) {
        const text = messages.map(({ content }) => content).join("\n");
        const reply = await answer(text, asked.push(text) - 1, model);
        if (reply === null) return;
        for (const line of reply.split(/(?<=\n)/)) {
          if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
          send({ model: SCRIPTED_MODEL, message: { role: "assistant", content: line }, done: false });
        }
      }
      send({
        model: SCRIPTED_MODEL,
        message: { role: "assistant", content: "" },
        done: true,
        done_reason: "stop",
        prompt_eval_count: 10,
        eval_count: 20,
      });
    } else response.statusCode = 404;
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  scripted.host = `http://127.0.0.1:${port}`;
  return scripted;
}

async function drained(request: IncomingMessage): Promise<void> {
  for await (const _ of request);
}

async function body(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request) text += chunk;
  return JSON.parse(text);
}

/** A whole answer: a small net of one hidden width, with its mistake if any. */
export function netReply(width: number, forward = "return self.head(F.relu(self.conv(x)).mean((2, 3)))"): string {
  return `\`\`\`python
import torch
import torch.nn as nn
import torch.nn.functional as F


def supported_hyperparameters():
    return {"lr", "momentum", "dropout"}


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.conv = nn.Conv2d(in_shape[1], ${width}, 5, stride=4, padding=2)
        self.head = nn.Linear(${width}, out_shape[0])

    def forward(self, x):
        ${forward}

    def train_setup(self, prm):
        self.to(self.device)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=prm["momentum"])

    def learn(self, train_data):
        self.train()
        for inputs, labels in train_data:
            self.optimizer.zero_grad()
            loss = self.criterion(self(inputs), labels)
            loss.backward()
            self.optimizer.step()
\`\`\`
`;
}
