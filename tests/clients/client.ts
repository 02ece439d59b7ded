// A client that openapi-typescript has made types for: compiled with --strict, then run against the API.
import createClient from 'openapi-fetch';
import type { components, paths } from './api.js';

declare const process: { argv: string[] };

const [, , baseUrl, token] = process.argv;
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

function expect(isTrue: boolean, what: string): asserts isTrue {
  if (!isTrue) throw new Error(what);
}

const created = await client.POST('/v1/posts', { body: { title: 'Hello', content: 'From TypeScript' } });
expect(created.data !== undefined, `not created: ${JSON.stringify(created.error)}`);
const path = { id: created.data.id };

// One of the two is enough, and neither is of a type of its own.
const onlyTitle: components['schemas']['ChangedPost'] = { title: 'Hello again' };
const changed = await client.PUT('/v1/posts/{id}', { params: { path }, body: onlyTitle });
expect(changed.data?.title === 'Hello again' && changed.data.content === 'From TypeScript', 'not changed');

const list = await client.GET('/v1/posts', { params: { query: { limit: 1 } } });
expect(list.data?.[0]?.id === path.id && list.data[0].author.display_name.length > 0, 'not listed');

const missing = await client.GET('/v1/posts/{id}', { params: { path: { id: 999999 } } });
const code: components['schemas']['Problem']['code'] | undefined = missing.error?.code;
expect(code === 'post_not_found', `another code: ${code}`);
// @ts-expect-error There is no such code.
const unknown: components['schemas']['Problem']['code'] = 'no_such_code';
expect(unknown !== code, 'the same');

const deleted = await client.DELETE('/v1/posts/{id}', { params: { path } });
expect(deleted.response.status === 204, `not deleted: ${deleted.response.status}`);

const open = await createClient<paths>({ baseUrl }).GET('/health/live');
expect(open.data?.status === 'ok', 'not alive');
console.log('done');
