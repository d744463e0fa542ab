/**
 * What is asked of a tenant's site, and how it is done. Everything is in the folder that SITES_DIR names
 * (`data/` beside this file if unset):
 *
 *   versions/<id>.<random>/   the files of a site, written once and never changed
 *   sites/<name>              a link to one of them; replaced by a rename, so a site is old or new, never half
 *   fences/<id>.json          the newest operation of a tenant; it outlives the tenant
 */
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs/promises');
const path = require('node:path');

const CONTRACT = 'tenure.provisioner/v1';
const FOLDER = path.resolve(process.env.SITES_DIR || path.join(__dirname, 'data'));
const [SITES, VERSIONS, FENCES] = ['sites', 'versions', 'fences'].map((name) => path.join(FOLDER, name));

const THEMES = { light: ['#ffffff', '#222222'], dark: ['#1b1b1f', '#eeeeee'], forest: ['#e9f2e4', '#1e3a1a'] };
const FEATURES = ['search', 'comments', 'newsletter'];

class Failure extends Error {
  constructor(reason, message, permanent) {
    super(message);
    Object.assign(this, { reason, permanent });
  }
}

// --- What is asked ------------------------------------------------------------------------------

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Checks the fields that are used; others are of a later contract, and tolerated. */
function read(document) {
  if (!isObject(document) || document.contract !== CONTRACT) {
    throw new Failure('UnsupportedContract', `This program speaks ${CONTRACT} only.`, true);
  }
  const tenant = isObject(document.tenant) ? document.tenant : {};
  // Ids and names become names of files, so nothing but these characters may pass.
  const wrong = Object.entries({
    '/operation': Object.hasOwn(OPERATIONS, document.operation),
    '/operation_id': typeof document.operation_id === 'string',
    '/tenant/id': /^tnt_[A-Za-z0-9-]{1,60}$/.test(tenant.id),
    '/tenant/name': /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(tenant.name),
    '/fence': Number.isSafeInteger(document.fence) && document.fence >= 0,
    '/desired': isObject(document.desired),
    '/running': typeof document.running === 'boolean',
  }).filter(([, good]) => !good).map(([field]) => field);
  if (wrong.length) {
    throw new Failure('InvalidRequest', `The request breaks the contract at ${wrong.join(', ')}.`, true);
  }
  const { operation, operation_id, fence, desired, running } = document;
  return { operation, operation_id, fence, desired, running, id: tenant.id, name: tenant.name };
}

/** Refuses what can't be, by field and never by value. */
function check(desired) {
  const { title, theme, features } = desired;
  const wrong = Object.keys(desired).filter((key) => !['title', 'theme', 'features'].includes(key))
    .map((key) => `/${key} is not a field`);
  if (typeof title !== 'string' || !title || [...title].length > 100) wrong.push('/title must be 1 to 100 characters');
  if (!Object.hasOwn(THEMES, theme)) wrong.push(`/theme must be one of ${Object.keys(THEMES).join(', ')}`);
  const exact = isObject(features) && Object.keys(features).every((key) => FEATURES.includes(key));
  if (!exact || FEATURES.some((key) => typeof features[key] !== 'boolean')) {
    wrong.push(`/features must say true or false for each of ${FEATURES.join(', ')}`);
  }
  if (wrong.length) throw new Failure('InvalidDesired', `Correct \`desired\`: ${wrong.join('; ')}.`, true);
}

// --- What a site is made of ---------------------------------------------------------------------

const escape = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** The parts of the page, by the part of `desired` that each puts in force. */
function fragments({ title, theme, features }) {
  const [paper, ink] = THEMES[theme] || ['', ''];
  return {
    title: `<title>${escape(String(title))}</title>`,
    theme: `<style>body { background: ${paper}; color: ${ink}; font: 1.1em sans-serif; margin: 4em }</style>`,
    features: FEATURES.filter((key) => isObject(features) && features[key]).map((key) => `<li>${key}</li>`).join(''),
  };
}

function page({ title, theme, features }) {
  const part = fragments({ title, theme, features });
  return `<!doctype html>\n<html lang="en"><meta charset="utf-8">\n${part.title}\n${part.theme}\n`
    + `<h1>${escape(title)}</h1>\n<ul>${part.features}</ul>\n</html>\n`;
}

function files(request) {
  const { title, theme, features } = request.desired;
  const all = Object.fromEntries(FEATURES.map((key) => [key, features[key]]));
  const config = { title, theme, features: all, running: request.running };
  return { 'config.json': `${JSON.stringify(config, null, 2)}\n`, 'index.html': page(config) };
}

const ifThere = (error) => {
  if (error.code !== 'ENOENT') throw error;
  return null;
};

/** What is on disk; null if there is no site. Says whose it is by where the link leads. */
async function look(name) {
  const link = path.join(SITES, name);
  const kind = await fs.lstat(link).catch(ifThere);
  if (kind === null) return null;
  const folder = kind.isSymbolicLink() ? path.join(VERSIONS, path.basename(await fs.readlink(link))) : link;
  const [text, html] = await Promise.all(['config.json', 'index.html']
    .map((file) => fs.readFile(path.join(folder, file), 'utf8').catch(ifThere)));
  let config = {};
  try {
    config = JSON.parse(text);
  } catch { /* A file that was broken by hand has nothing in force. */ }
  const owner = kind.isSymbolicLink() ? path.basename(folder).split('.')[0] : 'nobody';
  return { folder, owner, config: isObject(config) ? config : {}, 'config.json': text, 'index.html': html };
}

async function lookAtOwn(request) {
  const found = await look(request.name);
  if (found && found.owner !== request.id) {
    throw new Failure('WrongTenant', `sites/${request.name} belongs to ${found.owner}; move it away.`, true);
  }
  return found;
}

/** What is in force: the configuration's values, where the page shows them too. What it does not show is null. */
function observed(request, found) {
  const config = found ? found.config : {};
  const shown = fragments(config);
  const holds = (part) => found !== null && (found['index.html'] || '').includes(part);
  const features = isObject(config.features) ? config.features : {};
  return {
    title: holds(shown.title) ? config.title ?? null : null,
    theme: holds(shown.theme) && Object.hasOwn(THEMES, config.theme) ? config.theme : null,
    // A site that is gone has no feature; that is known, not unknown.
    features: Object.fromEntries(FEATURES.map((key) => [key,
      found === null ? false : holds(`<ul>${shown.features}</ul>`) ? features[key] ?? null : null])),
    running: typeof config.running === 'boolean' ? config.running : null,
  };
}

async function done(request, message) {
  const found = await lookAtOwn(request);
  const resources = found ? [`site:${request.name}`] : [];
  return { result: 'done', observed: observed(request, found), resources, message };
}

// --- Changing -----------------------------------------------------------------------------------

async function flush(file) {
  const handle = await fs.open(file);
  await handle.sync().finally(() => handle.close());
}

async function write(file, text) {
  const handle = await fs.open(file, 'w', 0o640);
  await handle.writeFile(text).then(() => handle.sync()).finally(() => handle.close());
}

/** Refuses an operation that is older than one already seen; remembers this one before it touches anything. */
async function pass(request) {
  const file = path.join(FENCES, `${request.id}.json`);
  const destroying = request.operation === 'destroy';
  const newest = JSON.parse(await fs.readFile(file, 'utf8').catch(ifThere)) || { fence: 0, destroyed: false };
  if (request.fence < newest.fence || (request.fence === newest.fence && newest.destroyed && !destroying)) {
    const what = newest.destroyed ? 'destroyed' : 'changed';
    throw new Failure('StaleFence', `Fence ${request.fence} comes too late: the tenant was ${what} under fence `
      + `${newest.fence}; leave it to its holder.`, false);
  }
  await write(`${file}.new`, JSON.stringify({ fence: request.fence, destroyed: destroying }));
  await fs.rename(`${file}.new`, file);
  await flush(FENCES);
}

/** Removes all versions of a tenant but one: those that were replaced, and what a crash left behind. */
async function sweep(request, keep) {
  const old = (await fs.readdir(VERSIONS)).filter((name) => name.split('.')[0] === request.id && name !== keep);
  for (const name of old) await fs.rm(path.join(VERSIONS, name), { recursive: true, force: true });
  return old.length;
}

async function apply(request, progress) {
  check(request.desired);
  await pass(request);
  const steps = ['render', 'publish', 'clean up'].map((name) => ({ name, state: 'pending' }));
  const step = (index, state) => {
    steps[index].state = state;
    progress(`${steps[index].name}: ${state}`, steps);
  };
  const [found, wanted] = [await lookAtOwn(request), files(request)];
  let current = found && path.basename(found.folder);
  const same = found && Object.keys(wanted).every((file) => found[file] === wanted[file]);
  if (same) {
    steps[0].state = 'skipped';
    step(1, 'skipped');
  } else {
    step(0, 'running');
    current = `${request.id}.${crypto.randomBytes(6).toString('hex')}`;
    const folder = path.join(VERSIONS, current);
    await fs.mkdir(folder, 0o750);
    for (const [file, text] of Object.entries(wanted)) await write(path.join(folder, file), text);
    await flush(folder);
    await flush(VERSIONS);
    step(0, 'done');
    step(1, 'running');
    const [link, draft] = [path.join(SITES, request.name), path.join(SITES, `.${request.id}`)];
    await fs.rm(draft, { force: true });
    await fs.symlink(path.join('..', 'versions', current), draft);
    await fs.rename(draft, link);
    await flush(SITES);
    step(1, 'done');
  }
  step(2, (await sweep(request, current)) ? 'done' : 'skipped');
  return done(request, same ? 'nothing to change' : found ? 'changed' : 'created');
}

async function destroy(request) {
  await pass(request);
  const found = await lookAtOwn(request);
  if (found) await fs.unlink(path.join(SITES, request.name));
  await fs.rm(path.join(SITES, `.${request.id}`), { force: true });
  await flush(SITES);
  await sweep(request, null);
  return { result: 'done', observed: {}, resources: [], message: found ? 'removed' : 'was gone already' };
}

const OPERATIONS = { apply, destroy, observe: (request) => done(request, 'looked at the files') };

/** A tenant's operations take turns. The fences hold between runs; one process only may own the folder. */
const turns = new Map();

function inTurn(id, work) {
  const turn = (turns.get(id) || Promise.resolve()).then(work, work);
  const end = () => turns.get(id) === turn && turns.delete(id);
  turns.set(id, turn);
  turn.then(end, end);
  return turn;
}

/** Runs one request to its end, and calls `say` with each line of the answer. */
async function answer(body, say) {
  let operation_id = null;
  const line = (fields) => say(`${JSON.stringify({ contract: CONTRACT, operation_id, ...fields })}\n`);
  try {
    let document;
    try {
      document = JSON.parse(body);
    } catch {
      throw new Failure('InvalidRequest', 'Send one JSON object.', true);
    }
    if (isObject(document) && typeof document.operation_id === 'string') operation_id = document.operation_id;
    const request = read(document);
    const progress = (message, steps) => line({ result: 'progress', message, steps });
    line(await inTurn(request.id, () => OPERATIONS[request.operation](request, progress)));
  } catch (error) {
    const failure = error instanceof Failure ? error
      : new Failure('DiskUnavailable', `${error.message}: see that the disk has room and can be written.`, false);
    line({ result: 'failed', reason: failure.reason, message: failure.message, permanent: failure.permanent });
  }
}

async function makeFolders() {
  for (const folder of [SITES, VERSIONS, FENCES]) await fs.mkdir(folder, { recursive: true, mode: 0o750 });
}

module.exports = { answer, look, makeFolders };
