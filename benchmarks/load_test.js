// Load by k6: chat, stream, cached and mixed, one after the other, each ramping up to many callers.
//
//   k6 run benchmarks/load_test.js -e URL=http://localhost:8080 -e KEY=sk-gw-...
//
// KINDS=chat,mixed takes some of them; SCALE=0.2 shortens every stage. Stages, thresholds and the mix are
// in load_test.json, which `python -m benchmarks.load_test` reads too, for where k6 is not. Against a
// gateway with limits give RATE_LIMIT_CAPACITY room, or what is measured is how fast it says 429.
import http from 'k6/http';
import { check } from 'k6';
import { Rate } from 'k6/metrics';

const plan = JSON.parse(open('./load_test.json'));
const url = __ENV.URL || 'http://localhost:8080';
const scale = Number(__ENV.SCALE || 1);
const kinds = (__ENV.KINDS || plan.kinds.join(',')).split(',');
const length = plan.stages.reduce((sum, stage) => sum + stage.seconds * scale, 0);
const hits = new Rate('cache_hits');

function scenario(kind, index) {
  return {
    executor: 'ramping-vus',
    exec: kind,
    startTime: `${index * length}s`,
    startVUs: 1,
    gracefulRampDown: '5s',
    stages: plan.stages.map((stage) => ({ duration: `${stage.seconds * scale}s`, target: stage.target })),
  };
}

export const options = {
  scenarios: Object.fromEntries(kinds.map((kind, index) => [kind, scenario(kind, index)])),
  thresholds: Object.fromEntries(
    Object.entries(plan.thresholds).filter(([name]) => {
      const only = /kind:(\w+)/.exec(name);
      return only === null || kinds.includes(only[1]) || kinds.includes('mixed');
    }),
  ),
  summaryTrendStats: ['avg', 'min', 'med', 'max', 'p(90)', 'p(95)', 'p(99)'],
};

// The chance of prompt k is proportional to 1 / k^exponent: a few are asked often, most hardly ever.
const cumulative = [];
for (let k = 1, sum = 0; k <= plan.zipf.prompts; k += 1) {
  sum += 1 / k ** plan.zipf.exponent;
  cumulative.push(sum);
}

export function zipf(random) {
  const wanted = random * cumulative[cumulative.length - 1];
  let low = 0;
  let high = cumulative.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (cumulative[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

function ask(kind, prompt, stream) {
  const body = {
    model: plan.model,
    messages: [
      { role: 'system', content: 'You are helpful. '.repeat(10) },
      { role: 'user', content: `${prompt} ${'x'.repeat(280)}` },
    ],
    temperature: 0,
    max_tokens: 100,
  };
  if (stream) body.stream = true;
  const headers = {
    'content-type': 'application/json',
    'x-user-id': `user-${Math.floor(Math.random() * plan.users)}`,
  };
  if (__ENV.KEY) headers.authorization = `Bearer ${__ENV.KEY}`;
  const answer = http.post(`${url}/v1/chat/completions`, JSON.stringify(body), {
    headers,
    tags: { kind, name: kind },
  });
  const cache = answer.headers['X-Gateway-Cache'];
  if (kind !== 'stream') hits.add(cache === 'hit' || cache === 'joined', { kind });
  check(
    answer,
    {
      'status is 200': (a) => a.status === 200,
      'answer is whole': (a) =>
        stream ? a.body.endsWith('data: [DONE]\n\n') : a.body.includes('"finish_reason"'),
    },
    { kind },
  );
}

const unique = () => `${Math.random()}-${Math.random()}`;

export function chat() {
  ask('chat', `a question never asked before: ${unique()}`, false);
}

export function stream() {
  ask('stream', `a question never asked before: ${unique()}`, true);
}

export function cached() {
  ask('cached', 'the one question that everybody asks', false);
}

export function mixed() {
  const drawn = Math.random();
  const prompt = `question ${zipf(Math.random())}`;
  if (drawn < plan.mixed.chat) ask('mixed', prompt, false);
  else if (drawn < plan.mixed.chat + plan.mixed.stream) ask('stream', prompt, true);
  else cached();
}
