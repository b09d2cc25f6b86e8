// Runs one export in Node and prints what it says as JSON: through Transformers.js with its native ONNX Runtime,
// or both graphs by hand in the WebAssembly build that browsers use. The job is JSON on standard input; `engine`
// says which of the functions below gets it.

import { readFileSync } from "node:fs";

const ENGINES = { "transformers.js": withTransformers, wasm: withWasm, recording: wholeRecording };

const job = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(await ENGINES[job.engine](job)));

function floats(path) {
  return new Float32Array(new Uint8Array(readFileSync(path)).buffer);
}

/** A pipeline on one thread of the processor, for the export in the folder `root`/`name`. */
async function open({ root, name, dtype }) {
  const { env, pipeline } = await import("@huggingface/transformers");
  env.allowRemoteModels = false;
  env.localModelPath = root;
  env.useFSCache = false;
  const session_options = { intraOpNumThreads: 1, interOpNumThreads: 1 };
  return pipeline("automatic-speech-recognition", name, { dtype, device: "cpu", session_options });
}

function spokenIn(language) {
  return language ? { language, task: "transcribe" } : {};
}

/** Text of a recording of any length, and the seconds that it took, loading not counted. */
async function wholeRecording({ samples, language, ...job }) {
  const recogniser = await open(job);
  const sound = floats(samples);
  const began = performance.now();
  const { text } = await recogniser(sound, { ...spokenIn(language), chunk_length_s: 30 });
  return { text, seconds: (performance.now() - began) / 1000 };
}

/** Timed segments, and words, of a sound of at most 30 seconds. */
async function withTransformers({ samples, language, ...job }) {
  const recogniser = await open(job);
  const segments = await recogniser(floats(samples), { ...spokenIn(language), return_timestamps: true });
  const words = await recogniser(floats(samples), { ...spokenIn(language), return_timestamps: "word" });
  return { segments: segments.chunks, words: words.chunks };
}

/** Greedy token ids, end of text included. */
async function withWasm({ root, name, ending, features, mels, ...search }) {
  const ort = await import("onnxruntime-web");
  ort.env.wasm.numThreads = 1;
  const load = (graph) => ort.InferenceSession.create(readFileSync(`${root}/${name}/onnx/${graph}${ending}.onnx`));
  const encoder = await load("encoder_model");
  const decoder = await load("decoder_model_merged");
  const input_features = new ort.Tensor("float32", floats(features), [1, mels, 3000]);
  const { last_hidden_state } = await encoder.run({ input_features });
  return greedy(ort, decoder, last_hidden_state, search);
}

async function greedy(ort, decoder, encoder_hidden_states, { prompt, eot, longest }) {
  let cache = {};
  for (const { name, shape } of decoder.inputMetadata) {
    if (name.startsWith("past_key_values.")) {
      cache[name] = new ort.Tensor("float32", [], [1, shape[1], 0, shape[3]]);
    }
  }
  const tokens = [];
  let fresh = prompt;
  while (tokens.length < longest && tokens.at(-1) !== eot) {
    const ids = new ort.Tensor("int64", BigInt64Array.from(fresh, BigInt), [1, fresh.length]);
    const found = await decoder.run({ input_ids: ids, encoder_hidden_states, ...cache });
    const last = found.logits.data.subarray(-found.logits.dims[2]);
    fresh = [last.reduce((best, value, at) => (value > last[best] ? at : best), 0)];
    tokens.push(fresh[0]);
    for (const name in cache) cache[name] = found[name.replace("past_key_values", "present")];
  }
  return tokens;
}
