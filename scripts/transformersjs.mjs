// Runs exports in Node and prints what they say as JSON: through Transformers.js with its native ONNX Runtime, or
// both graphs by hand in the WebAssembly build that browsers use. The jobs are a JSON list on standard input;
// `engine` of each says which of the functions below gets it.

import { readFileSync } from "node:fs";

const ENGINES = { "transformers.js": withTransformers, wasm: withWasm, recording: wholeRecording };

const answers = [];
for (const job of JSON.parse(readFileSync(0, "utf8"))) answers.push(await ENGINES[job.engine](job));
process.stdout.write(JSON.stringify(answers));

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

/** Text of a recording of any length, and the least seconds of processor time that it took in several rounds. */
async function wholeRecording({ samples, language, rounds, ...job }) {
  const recogniser = await open(job);
  const sound = floats(samples);
  let [text, seconds] = ["", Infinity];
  for (let round = 0; round < rounds; round++) {
    const began = process.cpuUsage();
    ({ text } = await recogniser(sound, { ...spokenIn(language), chunk_length_s: 30 }));
    const { user, system } = process.cpuUsage(began);
    seconds = Math.min(seconds, (user + system) / 1e6);
  }
  return { text, seconds };
}

/** Text without times, timed segments, and words, of a sound of at most 30 seconds. */
async function withTransformers({ samples, language, ...job }) {
  const recogniser = await open(job);
  const heard = (options) => recogniser(floats(samples), { ...spokenIn(language), ...options });
  const { text } = await heard({});
  const segments = await heard({ return_timestamps: true });
  const words = await heard({ return_timestamps: "word" });
  await recogniser.dispose();
  return { text, segments: segments.chunks, words: words.chunks };
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
