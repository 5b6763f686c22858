/** The loop in the editor, with a real model and a real worker. The tests of this file follow one another: they share a study. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { model, python, useEditor } from "./support/editor.ts";
import { makeStudy } from "./support/study.ts";
import { THEMES } from "./support/workbench.ts";

const CYCLE = { timeout: 600_000 };

/** A net that the worker accepts. */
const NET = `import torch.nn as nn
import torch


def supported_hyperparameters():
    return {"lr", "momentum"}


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.body = nn.Sequential(nn.Conv2d(in_shape[1], 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4))
        self.head = nn.Linear(8 * 16, out_shape[0])

    def forward(self, x):
        return self.head(self.body(x).flatten(1))

    def train_setup(self, prm):
        self.to(self.device)
        self.criteria = nn.CrossEntropyLoss().to(self.device)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=prm["momentum"])

    def learn(self, train_data):
        self.train()
        for inputs, labels in train_data:
            inputs, labels = inputs.to(self.device), labels.to(self.device)
            self.optimizer.zero_grad()
            loss = self.criteria(self(inputs), labels)
            loss.backward()
            self.optimizer.step()
`;

describe.skipIf(!model || !python)("a cycle", () => {
  const editor = useEditor({ settings: { "netwright.candidatesPerCycle": 2 } });
  let work: string;

  beforeAll(() => {
    work = editor.folder("cycle");
    makeStudy(join(work, "digits"), model);
  });

  it("is stepped by one click, and its rows arrive one by one", async () => {
    const window = await editor.open(work);
    await window.panel.show();
    await window.panel.step(2);
    await window.statusItem("Netwright:").waitFor();
    // The five seeds are measured first, then two nets are designed.
    await (await window.panel.row("PlainConv")).waitFor(CYCLE);
    await (await window.panel.row("_c1_01")).waitFor(CYCLE);
    await window.screenshot("panel in mid-cycle");
    await (await window.panel.button("Step Cycle")).waitFor(CYCLE);
    const rows = await window.panel.rows();
    expect(await rows.count()).toBe(7);
    expect(await rows.filter({ hasText: /\d %/ }).count()).toBeGreaterThanOrEqual(5);
    await window.statusItem("Netwright:").waitFor({ state: "hidden" });
  });

  it("is reviewed in the row, in the palette, in the editor's title and by keyboard, and other windows see it", async () => {
    const window = await editor.open(work);
    const other = await editor.open(work);
    await window.panel.show();
    await other.panel.show();
    const accepted = async (name: string) => {
      for (const each of [window, other]) {
        await (await each.panel.row(name)).locator("[title^=Accepted]").waitFor();
      }
    };

    await window.panel.press("PlainConv", "accept");
    await accepted("PlainConv");

    await window.panel.select("PlainConv");
    await window.page.keyboard.press("Escape");
    await window.palette.run("Netwright: Accept Candidates...");
    await window.palette.rows.filter({ hasText: "ResidualNet" }).click();
    await window.page.keyboard.press("Enter");
    await accepted("ResidualNet");

    await (await window.panel.row("InceptionSqueeze")).dblclick();
    await window.editor("InceptionSqueeze.py").getByText("class").first().waitFor();
    await window.editorAction("Accept").click();
    await accepted("InceptionSqueeze");

    await window.panel.select("SeparableNet");
    await window.page.keyboard.press("a");
    await accepted("SeparableNet");
    await window.panel.select("DenseNetSmall");
    await window.page.keyboard.press("x");
    await (await other.panel.row("DenseNetSmall")).locator("[title^=Rejected]").waitFor();

    await window.page.keyboard.press("Enter");
    await window.editorFocused("DenseNetSmall.py");
    await window.page.keyboard.press("Control+Alt+A");
    await accepted("DenseNetSmall");
  });

  it("leaves candidates to read and to compare, which nobody can edit", async () => {
    const window = await editor.open(work);
    await window.panel.show();
    await window.panel.press("PlainConv", "open");
    await window.editorFocused("PlainConv.py");
    await window.page.keyboard.type("x");
    await window.page
      .getByText(/Editor is read-only/)
      .first()
      .waitFor();

    await window.panel.press("SeparableNet", "compare");
    await window.diff.waitFor();
    await window.tab(/SeparableNet \(novelty/).waitFor();
    await window.screenshot("compare with nearest");
  });

  it("is shown by the dashboard, as charts and as tables", async () => {
    const window = await editor.open(work);
    await window.palette.run("Netwright: Open Dashboard");
    await (await window.dashboard.find("canvas, svg")).first().waitFor();
    const switches = await window.dashboard.find('button[aria-label$=" as a table"]');
    const cards = await switches.count();
    expect(cards).toBeGreaterThanOrEqual(3);
    for (let index = 0; index < cards; index++) await switches.nth(index).click();
    expect(await (await window.dashboard.find("table")).count()).toBe(cards);
    for (let index = 0; index < cards; index++) await switches.nth(index).click();
    await window.reload();
    // The tab comes back with the window.
    await (await window.dashboard.find("canvas, svg")).first().waitFor();
  });

  it("reads well in every theme, also for those who do not see it", async () => {
    const window = await editor.open(work, { width: 1600, height: 1000 });
    await window.panel.show();
    await window.palette.run("Netwright: Open Dashboard");
    for (const theme of THEMES) {
      await window.theme(theme);
      await (await window.dashboard.find("canvas, svg")).first().waitFor();
      await window.screenshot(`panel and dashboard ${theme}`);
      expect(await window.panel.violations(), `panel, ${theme}`).toEqual([]);
      expect(await window.dashboard.violations(), `dashboard, ${theme}`).toEqual([]);
    }
  });

  it("is not needed to evaluate a net of one's own", async () => {
    writeFileSync(join(work, "good.py"), NET);
    writeFileSync(join(work, "bad.py"), NET.replace("return self.head(self.body(x)", "return self.heat(self.body(x)"));
    const window = await editor.open(work);
    await window.quickOpen("good.py");
    await window.palette.run("Netwright: Evaluate This File");
    await window.notifications.toast(/good\.py is valid: first-epoch accuracy [\d.]+ %/).waitFor(CYCLE);
    await window.quickOpen("bad.py");
    await window.palette.run("Netwright: Evaluate This File");
    await window.notifications.toast(/bad\.py: forward.*heat/).waitFor(CYCLE);
    await window.notifications.press(/bad\.py/, "Go to Line");
    await window.statusItem("Ln 17").waitFor();
  });

  it("gives a data set to export", async () => {
    const window = await editor.open(work);
    const to = editor.folder("export");
    await window.palette.run("Netwright: Export Data Set (LEMUR)...");
    await window.chooseFolder(to, "Export Here");
    await window.notifications.toast("Exported 5 nets.").waitFor();
    expect(existsSync(join(to, "ab", "nn", "nn", "PlainConv.py"))).toBe(true);
  });
});
