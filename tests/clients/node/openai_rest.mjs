// OpenAI's Node SDK, unmodified, beyond chat: responses, embeddings, images, audio, moderations,
// completions, files and batches, and errors by their classes; printed as JSON.
import OpenAI, { toFile } from "openai";

const [, , baseURL] = process.argv;
const client = new OpenAI({ baseURL, apiKey: "any", maxRetries: 0 });
const said = {};

const response = await client.responses.create({ model: "gpt-4o", input: "Hello from Node" });
said.response = response.output_text;
let grown = "";
const stream = client.responses.stream({ model: "claude-sonnet-4-5", input: "Hello from Node" });
stream.on("response.output_text.delta", (event) => { grown += event.delta; });
said.streamed = (await stream.finalResponse()).output_text === grown && grown.length > 0;

const runner = client.chat.completions.runTools({
  model: "gpt-4o",
  messages: [{ role: "user", content: "What is the weather in Oslo?" }],
  tools: [{
    type: "function",
    function: {
      name: "get_weather",
      parse: JSON.parse,
      function: ({ city }) => `sunny in ${city}`,
      parameters: { type: "object", properties: { city: { type: "string" } } },
    },
  }],
});
said.ran_tools = await runner.finalContent();

const embedded = await client.embeddings.create({ model: "text-embedding-3-small", input: ["a", "b"] });
said.dimensions = embedded.data.map((entry) => entry.embedding.length);
const image = await client.images.generate({ model: "gpt-image-1", prompt: "a cat" });
said.image = image.data.length;
const speech = await client.audio.speech.create({ model: "tts-1", voice: "alloy", input: "hello" });
said.sound = (await speech.arrayBuffer()).byteLength > 0;
const sound = await toFile(Buffer.from("RIFF"), "a.wav");
said.heard = typeof (await client.audio.transcriptions.create({ model: "whisper-1", file: sound })).text;
said.flagged = (await client.moderations.create({ input: "simulated-harm" })).results[0].flagged;
const old = await client.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: "Once" });
said.completed = old.choices.length;

const body = { model: "gpt-4o", messages: [{ role: "user", content: "from a batch" }] };
const line = { custom_id: "one", method: "POST", url: "/v1/chat/completions", body };
const file = await client.files.create({
  purpose: "batch", file: await toFile(Buffer.from(JSON.stringify(line)), "in.jsonl"),
});
let batch = await client.batches.create({
  input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h",
});
for (let tries = 0; !["completed", "failed"].includes(batch.status) && tries < 200; tries++) {
  await new Promise((resolve) => setTimeout(resolve, 100));
  batch = await client.batches.retrieve(batch.id);
}
said.batch = batch.status;
const output = await (await client.files.content(batch.output_file_id)).text();
said.answered = JSON.parse(output).response.body.choices[0].message.content;
said.listed = (await client.models.list()).data.length > 0;
try {
  await client.chat.completions.create({ model: "", messages: [] });
} catch (error) {
  said.error = error instanceof OpenAI.BadRequestError && error.param;
}
console.log(JSON.stringify(said));
