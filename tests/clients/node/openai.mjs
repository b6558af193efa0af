// OpenAI's Node SDK, unmodified: a chat, a stream and a tool call, printed as JSON.
import OpenAI from "openai";

const [, , baseURL, model] = process.argv;
const client = new OpenAI({ baseURL, apiKey: "any", maxRetries: 0 });
const messages = [{ role: "user", content: "Hello from Node" }];

const chat = await client.chat.completions.create({ model, messages });
let streamed = "";
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
}
const tools = [{
  type: "function",
  function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
}];
const called = await client.chat.completions.create({
  model, tools, tool_choice: "required", messages: [{ role: "user", content: "weather" }],
});
console.log(JSON.stringify({
  whole: chat.choices[0].message.content,
  streamed,
  tool: called.choices[0].message.tool_calls[0].function.name,
}));
