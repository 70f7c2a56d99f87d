// Clients for Node against one server: Cloudflare's, OpenAI's, Hugging Face's, Vercel's. Prints one
// JSON object.
// Arguments: the server's URL, a token, the texts as JSON.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { InferenceClient } from "@huggingface/inference";
import { embedMany } from "ai";
import Cloudflare from "cloudflare";
import OpenAI from "openai";

const [url, token, texts] = [process.argv[2], process.argv[3], JSON.parse(process.argv[4])];
const model = "@cf/baai/bge-base-en-v1.5";
const account_id = "acc";
const cloudflare = new Cloudflare({ apiToken: token, baseURL: `${url}/client/v4`, maxRetries: 0 });
const stranger = new Cloudflare({ apiToken: "wrong", baseURL: `${url}/client/v4`, maxRetries: 0 });
const openai = new OpenAI({ apiKey: token, baseURL: `${url}/v1`, maxRetries: 0 });
const account = new OpenAI({
  apiKey: token,
  baseURL: `${url}/client/v4/accounts/${account_id}/ai/v1`,
  maxRetries: 0,
});

const huggingface = new InferenceClient(token, { endpointUrl: url });
const vercel = createOpenAICompatible({ name: "bge", apiKey: token, baseURL: `${url}/v1` });

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return { status: error.status, message: error.message, errors: error.errors, code: error.code };
  }
  return null;
}

async function queued() {
  const requests = texts.map((text, i) => ({ text, external_reference: `r${i}` }));
  const query = { query: { queueRequest: "true" } };
  const { request_id } = await cloudflare.ai.run(model, { account_id, requests }, query);
  for (let i = 0; i < 300; i++) {
    const state = await cloudflare.ai.run(model, { account_id, request_id }, query);
    if (Array.isArray(state.responses)) return state;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the batch never ended");
}

const embeddings = (client, more) => client.embeddings.create({ model, input: texts, ...more });
const listed = [];
for await (const each of openai.models.list()) listed.push(each.id);

console.log(
  JSON.stringify({
    run: await cloudflare.ai.run(model, { account_id, text: texts }),
    cls: await cloudflare.ai.run(model, { account_id, text: texts[0], pooling: "cls" }),
    queued: await queued(),
    bad: await failure(cloudflare.ai.run(model, { account_id, text: 5 })),
    stranger: await failure(stranger.ai.run(model, { account_id, text: "a" })),
    base64: await embeddings(openai), // this client asks for base64 and decodes it
    floats: await embeddings(openai, { encoding_format: "float" }),
    account: await embeddings(account),
    empty: await failure(openai.embeddings.create({ model, input: "" })),
    listed,
    features: await huggingface.featureExtraction({ inputs: texts }),
    similarities: await huggingface.sentenceSimilarity({
      inputs: { source_sentence: texts[0], sentences: texts },
    }),
    vercel: await embedMany({ model: vercel.textEmbeddingModel(model), values: texts }),
  }),
);
