/** Writes a LoRA adapter in GGUF (v3) that visibly changes a model: rank 1, on the attention output of every layer. */
import { writeFile } from "node:fs/promises";
import { readGgufFileInfo } from "node-llama-cpp";

export async function writeAdapter(model: string, path: string): Promise<void> {
  const info = await readGgufFileInfo(model, { logWarnings: false });
  const architecture = info.metadata.general.architecture as string;
  const tensors = (info.tensorInfo ?? []).filter(({ name }) => /^blk\.\d+\.attn_output\.weight$/.test(name));
  const width = Number(tensors[0]?.dimensions[0]);

  const text = (value: string) => Buffer.concat([u64(value.length), Buffer.from(value)]);
  const metadata = [
    [text("general.architecture"), u32(8), text(architecture)],
    [text("general.type"), u32(8), text("adapter")],
    [text("adapter.type"), u32(8), text("lora")],
    [text("adapter.lora.alpha"), u32(6), f32(1)],
  ].flat();
  const bytes = width * 4;
  const names = tensors.flatMap(({ name }) => [
    { name: `${name}.lora_a`, shape: [width, 1] },
    { name: `${name}.lora_b`, shape: [1, width] },
  ]);
  const infos = names.map(({ name, shape: [first = 1, second = 1] }, index) =>
    Buffer.concat([text(name), u32(2), u64(first), u64(second), u32(0), u64(index * bytes)]),
  );
  const header = Buffer.concat([Buffer.from("GGUF"), u32(3), u64(names.length), u64(4), ...metadata, ...infos]);
  const padding = Buffer.alloc((32 - (header.length % 32)) % 32);
  const values = names.map((_name, index) => {
    const data = Buffer.alloc(bytes);
    for (let i = 0; i < width; i++) data.writeFloatLE(Math.sin((i + 1) * (index + 1)) * 0.5, i * 4);
    return data;
  });
  await writeFile(path, Buffer.concat([header, padding, ...values]));
}

const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value: number) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
const f32 = (value: number) => Buffer.from(Float32Array.of(value).buffer);
