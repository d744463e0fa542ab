#!/usr/bin/env node
/**
 * An HTTP provisioner for Tenure that gives every tenant a web site, and serves it.
 *
 * POST /provision takes one signed request and answers it, one JSON object a line; site.js does the work.
 * GET /sites/<name>/ shows the site.
 */
'use strict';

const crypto = require('node:crypto');
const { readFileSync } = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { answer, look, makeFolders } = require('./site.js');

const BODY_BYTES = 1 << 20;
const CLOCK_SECONDS = 300; // How far a request's time may be from ours.
const STOP_SECONDS = 10;

// --- Who asks: Standard Webhooks ----------------------------------------------------------------

/** One secret a line, `whsec_` and base64; while they are being replaced, the old and the new one. */
function readSecrets(file) {
  const lines = readFileSync(file, 'utf8').split('\n').map((line) => line.trim()).filter(Boolean);
  const secrets = lines.map((line) => Buffer.from(line.replace(/^whsec_/, ''), 'base64'));
  if (!secrets.length || secrets.some((secret, i) => secret.length < 24 || !lines[i].startsWith('whsec_'))) {
    throw new Error(`${file} must hold whsec_ and at least 24 bytes in base64; README.md shows how to make it`);
  }
  return secrets;
}

function isSigned(secrets, headers, body) {
  const [id, time, signatures] = ['id', 'timestamp', 'signature'].map((name) => headers[`webhook-${name}`] || '');
  const fresh = /^\d{1,12}$/.test(time) && Math.abs(Date.now() / 1000 - Number(time)) <= CLOCK_SECONDS;
  if (!fresh || !id || id.length > 256) return false;
  const given = signatures.split(' ').slice(0, 10).filter((part) => part.startsWith('v1,'));
  const expected = secrets.map((secret) => (
    crypto.createHmac('sha256', secret).update(`${id}.${time}.`).update(body).digest()));
  return given.map((part) => Buffer.from(part.slice(3), 'base64'))
    .some((one) => expected.some((other) => one.length === other.length && crypto.timingSafeEqual(one, other)));
}

// --- HTTP ---------------------------------------------------------------------------------------

/** The last minutes' answers by webhook-id: who repeats a request hears the same, and nothing is done twice. */
const heard = new Map();

const hashOf = (body) => crypto.createHash('sha256').update(body).digest('hex');

function hear(id, body) {
  for (const [old, { at }] of heard) {
    if (heard.size < 1000 && Date.now() - at < 2 * CLOCK_SECONDS * 1000) break;
    heard.delete(old);
  }
  const entry = { at: Date.now(), hash: hashOf(body), lines: [], listeners: new Set() };
  heard.set(id, entry);
  entry.end = answer(body, (text) => {
    entry.lines.push(text);
    for (const listener of entry.listeners) listener(text);
  });
  return entry;
}

function reply(response, status, text, headers = {}) {
  const usual = { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' };
  response.writeHead(status, { ...usual, ...headers });
  response.end(text);
}

/** The body, or nothing if it is too large; the rest of such a one is thrown away until we have answered. */
function readBody(request) {
  return new Promise((resolve, reject) => {
    const parts = [];
    let size = 0;
    if (Number(request.headers['content-length'] || 0) > BODY_BYTES) resolve(null);
    request.on('data', (part) => {
      size += part.length;
      if (size <= BODY_BYTES) parts.push(part);
      else resolve(null);
    });
    request.on('end', () => resolve(Buffer.concat(parts)));
    request.on('error', reject);
  });
}

async function provision(secrets, request, response) {
  if (request.method !== 'POST') return reply(response, 405, 'Use POST.\n', { allow: 'POST' });
  const body = await readBody(request);
  if (body === null) return reply(response, 413, `Send at most ${BODY_BYTES} bytes.\n`, { connection: 'close' });
  if (!isSigned(secrets, request.headers, body)) {
    return reply(response, 401, 'Sign the request, and see that both clocks are right.\n');
  }
  const id = request.headers['webhook-id'];
  const entry = heard.get(id) || hear(id, body);
  if (entry.hash !== hashOf(body)) {
    return reply(response, 409, 'This webhook-id was used for another request.\n');
  }
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.on('error', () => {}); // Who hangs up may ask again; the work goes on.
  const listener = (text) => response.write(text);
  entry.lines.forEach(listener);
  entry.listeners.add(listener);
  await entry.end;
  return response.end();
}

async function serve(request, response, name, file) {
  if (!['GET', 'HEAD'].includes(request.method)) return reply(response, 405, 'Use GET.\n', { allow: 'GET, HEAD' });
  const found = /^[a-z0-9][a-z0-9-]{0,62}$/.test(name) ? await look(name) : null;
  const text = found && Object.hasOwn(found, file || 'index.html') ? found[file || 'index.html'] : null;
  if (typeof text !== 'string' || !['', 'index.html', 'config.json'].includes(file)) {
    return reply(response, 404, 'There is no such page.\n');
  }
  const html = {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
  };
  if (found.config.running !== true) {
    return reply(response, 503, '<!doctype html>\n<title>Suspended</title>\n<h1>This site is suspended</h1>\n', html);
  }
  return reply(response, 200, text, file === 'config.json' ? { 'content-type': 'application/json' } : html);
}

async function handle(secrets, request, response) {
  const [pathname] = request.url.split('?');
  const [, sites, name, file, more] = pathname.split('/');
  if (pathname === '/provision') return provision(secrets, request, response);
  if (sites !== 'sites' || !name || more !== undefined) return reply(response, 404, 'There is no such page.\n');
  if (file === undefined) return reply(response, 308, '', { location: `/sites/${encodeURIComponent(name)}/` });
  return serve(request, response, name, file);
}

async function main() {
  const secrets = readSecrets(process.env.SIGNING_SECRET_FILE || path.join(__dirname, 'signing.secret'));
  await makeFolders();
  const server = http.createServer((request, response) => {
    handle(secrets, request, response).catch((error) => {
      console.error(error);
      if (response.headersSent) response.destroy();
      else reply(response, 500, 'This program failed; its log says why.\n', { connection: 'close' });
    });
  });
  server.requestTimeout = 15_000;
  server.headersTimeout = 10_000;
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.once(signal, () => {
      server.close(() => process.exit(0)); // Once each operation under way has been answered.
      server.closeIdleConnections();
      setTimeout(() => process.exit(1), STOP_SECONDS * 1000).unref();
    });
  }
  // Loopback only: whoever is beyond it needs a proxy with TLS.
  server.listen(Number(process.env.PORT ?? 7320), '127.0.0.1', () => {
    console.log(`http://127.0.0.1:${server.address().port}`);
  });
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
