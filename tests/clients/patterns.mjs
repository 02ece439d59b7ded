// Tests the patterns of the description in a validator: they must accept and reject the same texts as the API, in
// linear time: a quadratic pattern would need days for these texts.
import { readFileSync } from 'node:fs';

const { properties } = JSON.parse(readFileSync('api.json', 'utf8')).components.schemas.NewPost;
const cases = JSON.parse(readFileSync('cases.json', 'utf8'));
for (const [name, text, isGood] of cases) {
  if (new RegExp(properties[name].pattern, 'u').test(text) !== isGood) {
    throw new Error(`${name}: ${JSON.stringify(text)} should ${isGood ? '' : 'not '}match`);
  }
}
for (const { pattern } of Object.values(properties)) {
  for (const text of ['x', ' ', '\t', '\u200b', '\u3000', 'x ', ' \u200b', 'x\u200b', 'é']) {
    for (const end of ['', '\u0000', ' ', 'x', '\n', '\u0000x']) {
      new RegExp(pattern, 'u').test(text.repeat(1_000_000) + end);
    }
  }
}
console.log('done');
