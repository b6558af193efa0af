// Vercel's AI SDK, unmodified, by its OpenAI (Chat and Responses), compatible and Anthropic providers:
// a text, a stream, a tool with its result, a structured answer, an error, embeddings; printed as JSON.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [, , url, model] = process.argv;
const baseURL = `${url}/v1`;
const openai = createOpenAI({ baseURL, apiKey: "any" });
const models = {
  chat: openai.chat(model),
  responses: openai.responses(model),
  compatible: createOpenAICompatible({ name: "gateway", baseURL, apiKey: "any", includeUsage: true, supportsStructuredOutputs: true })(model),
  messages: createAnthropic({ baseURL, apiKey: "any" })(model),
};
const city = z.object({ name: z.string(), people: z.number().int() });
const said = {};
for (const [name, through] of Object.entries(models)) {
  const asked = { model: through, prompt: "Hello from Vercel", maxRetries: 0, maxOutputTokens: 500 };
  const whole = await generateText(asked);
  const stream = streamText(asked);
  let streamed = "";
  for await (const text of stream.textStream) streamed += text;
  const tools = {
    get_weather: tool({
      description: "The weather of a city",
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => `sunny in ${city}`,
    }),
  };
  const told = await generateText({
    ...asked, prompt: "What is the weather in Oslo?", tools, stopWhen: stepCountIs(3),
  });
  const structured = await generateText({
    ...asked, prompt: "A city, please", output: Output.object({ schema: city }),
  });
  said[name] = {
    whole: whole.text,
    streamed,
    usage: [whole.usage.totalTokens, (await stream.usage).totalTokens],
    tool: told.steps[0].toolCalls[0].toolName,
    after: told.text,
    structured: structured.output,
  };
}
let error = 0;
try {
  await generateText({ model: openai.chat("missing-model"), prompt: "Hello", maxRetries: 0 });
} catch (refused) {
  error = refused.statusCode;
}
const { embeddings } = await embedMany({
  model: openai.embedding("text-embedding-3-small"), values: ["a text", "another"],
});
console.log(JSON.stringify({ dialects: said, error, dimensions: embeddings.map((e) => e.length) }));
