// Anthropic's Node SDK, unmodified: a message, a stream and a tool call, printed as JSON.
import Anthropic from "@anthropic-ai/sdk";

const [, , baseURL, model] = process.argv;
const client = new Anthropic({ baseURL, apiKey: "any", maxRetries: 0 });
const asked = { model, max_tokens: 200, messages: [{ role: "user", content: "Hello from Node" }] };

const message = await client.messages.create(asked);
let streamed = "";
const stream = client.messages.stream(asked);
stream.on("text", (text) => { streamed += text; });
await stream.finalMessage();
const called = await client.messages.create({
  ...asked,
  tools: [{ name: "get_weather", input_schema: { type: "object", properties: { city: { type: "string" } } } }],
  tool_choice: { type: "any" },
});
console.log(JSON.stringify({
  whole: message.content[0].text,
  streamed,
  tool: called.content.find((block) => block.type === "tool_use").name,
}));
