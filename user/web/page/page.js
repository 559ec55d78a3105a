// SPDX-License-Identifier: BSD-2-Clause
//
// What a service does, looked at once a second. What the server says becomes text nodes, never
// markup: workers choose their names. A look touches only what has changed.

const SAMPLES = 60; // of a sparkline: a minute
const PERIOD = 1000, PAUSE = 200; // ms between the begins of two looks; at least after an answer
const PATIENCE = 5000; // ms until a server that does not answer counts as unreachable
const EVENTS = 100; // rows at most

// --- the document

const $ = id => document.getElementById(id);

function make(parent, tag, className = '') {
	const it = document.createElement(tag);

	if (className)
		it.className = className;
	return parent.appendChild(it);
}

function mark(element, name, value) {
	if (element.getAttribute(name) !== value)
		element.setAttribute(name, value);
	return element;
}

function write(element, text) {
	const node = element.firstChild ?? element.appendChild(new Text());

	if (node.data !== text)
		node.data = text;
}

function show(element, so) {
	if (element.hidden === Boolean(so))
		element.hidden = !so;
}

// Makes the children as many as the rows, and writes each of them.
function fill(element, tag, rows, writeOne) {
	while (element.children.length > rows.length)
		element.lastChild.remove();
	rows.forEach((row, i) => writeOne(element.children[i] ?? make(element, tag), row, i));
}

// For screen readers: only what matters.
function say(text) {
	if (text)
		$('said').textContent = text;
}

// --- texts

const NONE = '–';
const number = (value, format) => value === null || value === undefined ? NONE : format(value);
// By hand, as toLocaleString() would take most of an update.
const whole = value => number(value, n => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ','));
const tenths = value => number(value, n => n.toFixed(1));
const percent = (value, digits = 1) => number(value, n => `${n.toFixed(digits)}\u202f%`);
// All numbers of a column have as many digits behind the point.
const amount = (value, most) => most < 100 ? tenths(value) : whole(value);
const plural = (n, word) => `${whole(n)} ${word}${n === 1 ? '' : 's'}`;

function duration(seconds, exact = true) {
	const s = Math.max(0, Math.round(seconds)), m = Math.floor(s / 60), h = Math.floor(m / 60);
	const two = n => String(n).padStart(2, '0');

	if (m < 1)
		return `${s}\u202fs`;
	if (h < 1)
		return `${m}\u202fm${exact ? ` ${two(s % 60)}\u202fs` : ''}`;
	return h < 24 ? `${h}\u202fh ${two(m % 60)}\u202fm` : `${Math.floor(h / 24)}\u202fd ${h % 24}\u202fh`;
}

// Without the seconds from a minute on: fewer cells change.
const age = seconds => number(seconds, s => duration(s, false));

const clock = new Intl.DateTimeFormat('sv', {dateStyle: 'short', timeStyle: 'medium'});

// 12:30:00, of another day 2026-01-31 12:30:00
function moment(seconds) {
	const text = clock.format(1000 * seconds);

	return text.slice(0, 10) === clock.format().slice(0, 10) ? text.slice(11) : text;
}

const TONES = {
	good: ['active', 'promoted', 'good'],
	busy: ['canary', 'progressing'],
	care: ['draining', 'starting', 'restarting', 'paused', 'inconclusive', 'stopping'],
	bad: ['dead', 'failed', 'stalled', 'stuck', 'bad', 'aborted', 'rolled-back'],
};
const tone = word => Object.keys(TONES).find(is => TONES[is].includes(word)) ?? 'dim';

// --- cells: made once; the function that each returns writes a row into it

const text = (name, title, of) => ({name, title, cell: td => row => write(td, of(row))});

const state = (name, title, of) => ({name, title, cell: td => {
	const word = make(td, 'span');

	return row => {
		write(word, of(row));
		mark(word, 'class', `state ${tone(of(row))}`);
	};
}});

const version = {name: 'version', title: 'Version', cell: td => {
	const swatch = make(td, 'span'), name = make(td, 'span');

	return row => {
		write(name, row.version ?? 'unknown');
		mark(swatch, 'class', `swatch ${colour(row.version)}`);
	};
}};

// A bar from 0 to 1. @goal: where its mark is.
function bar(parent, hasGoal) {
	const it = mark(make(parent, 'span', 'bar'), 'aria-hidden', 'true');
	const part = make(it, 'span', 'fill'), tick = hasGoal && make(it, 'span', 'tick');
	let last, lastGoal;

	return (value, goal) => {
		const is = Math.min(1, value).toFixed(3);

		if (last !== is)
			part.style.transform = `scaleX(${last = is})`;
		if (tick && lastGoal !== goal)
			tick.style.left = `${100 * (lastGoal = goal)}%`;
	};
}

// The last minute of a value. Null: there was no look.
function sparkline(parent) {
	const draw = (to, tag) => to.appendChild(document.createElementNS('http://www.w3.org/2000/svg', tag));
	const svg = draw(parent, 'svg'), path = draw(svg, 'path');

	mark(svg, 'class', 'spark');
	mark(svg, 'aria-hidden', 'true');
	mark(svg, 'viewBox', `0 0 ${SAMPLES - 1} 16`);
	mark(svg, 'preserveAspectRatio', 'none');
	return (values, most) => {
		let d = '', x = SAMPLES - values.length, from = null;

		for (const value of [...values, null]) {
			if (value !== null)
				d += `${from === null ? `M${from = x} 16` : ''}L${x} ${+(16 * (1 - value / (most || 1))).toFixed(1)}`;
			else if (from !== null) {
				d += `V16H${from}Z`;
				from = null;
			}
			x++;
		}
		mark(path, 'd', d);
	};
}

// --- tables

class Table {
	// @key: what a row is known by. @width: of the page, up to which a row is a card. The first
	// column is the header of its row. The styles lay tables out by `display`, which takes their
	// roles; so each part has its role as an attribute.
	constructor(name, caption, columns, key, width = '40rem', observer = null) {
		const table = document.querySelector(`table.${name}`), narrow = matchMedia(`(max-width: ${width})`);
		const part = (parent, tag, role, className) => mark(make(parent, tag, className), 'role', role);
		const lay = () => table.classList.toggle('cards', narrow.matches);

		Object.assign(this, {table, columns, key, observer, part, rows: new Map()});
		mark(table, 'role', 'table');
		narrow.onchange = lay;
		lay();
		this.caption = make(table, 'caption');
		write(this.caption, caption);
		const head = part(part(table, 'thead', 'rowgroup'), 'tr', 'row');

		for (const column of columns)
			write(mark(part(head, 'th', 'columnheader', column.name), 'scope', 'col'), column.title);
		this.body = part(table, 'tbody', 'rowgroup');
	}

	add(key) {
		const element = this.part(this.body, 'tr', 'row');
		const cells = this.columns.map(({name, title, cell}, i) => {
			const td = this.part(element, i ? 'td' : 'th', i ? 'cell' : 'rowheader', name);

			if (!i)
				td.scope = 'row';
			td.dataset.title = title;
			return cell(td);
		});
		const row = {element, inView: !this.observer, write: data => {
			row.data = data;
			cells.forEach(cell => cell(data, row.inView));
		}};

		element.dataset.key = key;
		this.rows.set(key, row);
		this.observer?.observe(element);
		return row;
	}

	update(list) {
		const keys = new Set(list.map(this.key));

		for (const [key, row] of this.rows)
			if (!keys.has(key)) {
				this.observer?.unobserve(row.element);
				row.element.remove();
				this.rows.delete(key);
			}
		let at = this.body.firstChild;

		for (const data of list) {
			const row = this.rows.get(this.key(data)) ?? this.add(this.key(data));

			if (row.element === at)
				at = at.nextSibling;
			else
				this.body.insertBefore(row.element, at);
			row.write(data);
		}
		show(this.table, list.length);
	}

	// Columns that not all services have.
	has(what, so) {
		this.table.classList.toggle(`no-${what}`, !so);
	}
}

// --- what was seen before of the service

let memory;

function forget() {
	memory = {looks: 0, past: new Map(), total: [], ring: '', counts: [], colours: new Map(), events: [],
		deployment: null, states: new Map()};
}

function colour(name) {
	if (!memory.colours.has(name))
		memory.colours.set(name, `v${memory.colours.size % 6}`);
	return memory.colours.get(name);
}

function push(list, value, n = SAMPLES) {
	if (list.push(value) > n)
		list.shift();
}

const greatest = list => list.reduce((most, value) => value > most ? value : most, 0);

// How many of the new connections each worker got: since the ring changed, at most in a minute.
function measure(workers, gap) {
	const ring = workers.map(w => `${w.slot} ${w.version} ${w.share_percent}`).join();
	let sum = 0;

	if (ring !== memory.ring || gap)
		memory.counts = [];
	memory.ring = ring;
	push(memory.counts, new Map(workers.map(w => [w.slot, w.steered])), SAMPLES + 1);
	for (const w of workers)
		sum += w.got = Math.max(0, w.steered - (memory.counts[0].get(w.slot) ?? w.steered));
	for (const w of workers)
		w.got_percent = sum ? 100 * w.got / sum : null;
	return sum;
}

function remember(workers, gap) {
	const total = {rate: 0, queued: 0, active: 0, requests: 0, taking: 0}, past = new Map();

	memory.most = {rate: 0, queued: 0};
	for (const w of workers) {
		w.past = memory.past.get(w.slot) ?? {rate: [], queued: []};
		past.set(w.slot, w.past);
		for (const key of ['rate', 'queued']) {
			if (gap)
				push(w.past[key], null);
			push(w.past[key], w[key]);
			memory.most[key] = Math.max(memory.most[key], greatest(w.past[key]));
			total[key] += w[key] ?? 0;
		}
		total.active += w.active ?? 0;
		total.requests += w.requests_per_second ?? 0;
		total.taking += w.share_percent > 0;
	}
	memory.past = past;
	memory.widest = greatest(workers.map(w => Math.max(w.share_percent, w.got_percent))) || 1;
	if (gap)
		push(memory.total, null);
	push(memory.total, total.rate);
	return total;
}

// --- the tables of the page

// Sparklines and bars are drawn only near the view.
const observer = new IntersectionObserver(entries => {
	for (const {target, isIntersecting} of entries) {
		const row = workers.rows.get(Number(target.dataset.key));

		if (row?.element === target && (row.inView = isIntersecting))
			row.write(row.data);
	}
}, {rootMargin: '50%'});

// A number with the sparkline of its last minute. All rows have the same scale.
const measured = (name, title, key, format) => ({name, title, cell: td => {
	const value = make(td, 'span'), line = sparkline(td);

	return (row, inView) => {
		write(value, format(row[key]));
		if (inView)
			line(row.past[key], memory.most[key]);
	};
}});

// A small share needs more digits.
const share = value => percent(value, memory.widest < 1 ? 3 : 1);

const got = {name: 'got', title: 'Got', cell: td => {
	const value = make(td, 'span'), draw = bar(td, true);

	return (row, inView) => {
		write(value, share(row.got_percent));
		if (inView)
			draw(row.got_percent / memory.widest, row.share_percent / memory.widest);
	};
}};

const evidence = {name: 'evidence', title: 'Evidence', cell: td => {
	const value = make(td, 'span'), draw = bar(td);

	return ({evidence: e, threshold, verdict, ...row}) => {
		write(value, threshold ? `${e < 1e6 ? amount(e, 10 * e) : e.toExponential(0)} of ${whole(threshold)}`
			: 'one is enough');
		// Each bad event multiplies the evidence, so equal steps of the bar are factors.
		draw(threshold ? Math.log(Math.max(1, e)) / Math.log(threshold) : row.new.bad);
		mark(td, 'class', `evidence ${tone(verdict)}`);
	};
}};

const services = new Table('services', 'All services of this machine', [
	{name: 'service', title: 'Service', cell: td => {
		const link = make(td, 'a');

		return row => {
			write(link, row.service);
			mark(link, 'href', `?service=${encodeURIComponent(row.service)}`);
			mark(link, 'aria-current', String(row.service === selected));
		};
	}},
	text('endpoint', 'Endpoint', row => row.error ?? (row.endpoint
		? row.endpoint + (row.endpoints > 1 ? ` and ${row.endpoints - 1} more` : '') : 'none yet')),
	text('policy', 'Policy', row => row.policy ?? NONE),
	text('live', 'Live', row => row.error ? NONE : `${row.live} of ${row.workers}`),
	text('ring', 'In the ring', row => whole(row.in_ring)),
], row => row.service);

const versions = new Table('versions', 'Shares of new connections', [
	version,
	text('count', 'Workers', row => whole(row.workers)),
	text('target', 'Target', row => percent(row.share_percent)),
	text('got', 'Got', row => percent(row.got_percent)),
	text('errors', '5xx', row => whole(row.responses?.['5xx'])),
	text('p99', 'p99 ms', row => tenths(row.time_to_first_byte?.p99_ms)),
], row => row.version);

const signals = new Table('signals', 'Evidence that the new version is worse', [
	text('signal', 'Signal', row => row.name),
	text('new', 'New', row => `${whole(row.new.bad)} of ${whole(row.new.n)}`),
	text('old', 'Old', row => `${whole(row.old.bad)} of ${whole(row.old.n)}`),
	evidence,
	state('verdict', 'Verdict', row => row.verdict),
], row => row.name, '50rem');

const slot = text('slot', 'Slot', row => number(row.slot, String));
const is = state('is', 'State', row => row.state);
const active = text('active', 'Active', row => whole(row.active));
const process = text('process', 'Process', row => row.reason ?? (row.pid ? `${row.pid} ${row.command}` : NONE));

const workers = new Table('workers', '', [
	slot,
	is,
	version,
	text('target', 'Target', row => share(row.share_percent)),
	got,
	measured('rate', 'Rate /s', 'rate', rate => amount(rate, memory.most.rate)),
	measured('queue', 'Queue', 'queued', whole),
	active,
	text('errors', '5xx', row => whole(row.responses?.['5xx'])),
	text('p99', 'p99 ms', row => tenths(row.time_to_first_byte?.p99_ms)),
	text('age', 'Age', row => age(row.age_seconds)),
	text('restarts', 'Restarts', row => whole(row.restarts)),
	process,
	{name: 'act', title: 'Action', cell: td => {
		const offer = button(td), drainable = ['active', 'canary', 'standby', 'stuck', 'stalled'];

		return row => {
			const about = ` worker ${row.slot}`, body = {slots: [row.slot]};

			if (row.state === 'draining')
				offer('Resume', 'resume', about, body);
			else
				offer(drainable.includes(row.state) && 'Drain', 'drain', about, body);
		};
	}},
], row => row.slot, '60rem', observer);

const former = new Table('former', 'Former workers, out of their slots', [
	slot, is, version, active, text('age', 'Since', row => age(row.since_seconds)), process,
], row => `${row.slot} ${row.pid}`);

const events = new Table('events', 'What happened last, the newest first', [
	text('time', 'Time', row => moment(row.time)),
	text('event', 'Event', row => row.event),
	slot,
	text('text', 'Details', row => [row.pid && `pid ${row.pid}`, row.text || row.help,
		row.count > 1 && `${whole(row.count)} times`].filter(Boolean).join(', ')),
], row => row.seq);

// --- actions

let token = ''; // only here, so a reload of the page forgets it
let guarded = false; // whether looks need the token: it is sent only if it was given for them
let admin = false; // whether the server takes actions
let answered = 0;

// A button that acts when it is pressed twice: the first press asks. Returns what sets it.
function button(parent) {
	const it = make(parent, 'button');
	let now = {}, timer = 0;
	const draw = () => {
		write(it, timer ? 'Confirm' : now.label);
		mark(it, 'aria-label', `${timer ? 'Confirm: ' : ''}${now.label}${now.about}`);
		mark(it, 'class', timer ? 'act asks' : 'act');
	};
	const calm = () => {
		clearTimeout(timer);
		timer = 0;
		draw();
	};

	it.type = 'button';
	it.onblur = calm;
	it.onkeydown = event => { // a handler that returns false would keep the key from the browser
		if (event.key === 'Escape')
			calm();
	};
	it.onclick = event => {
		if (!timer) {
			timer = setTimeout(calm, 5000);
			draw();
			say(`Press again to confirm: ${now.label}${now.about}.`);
		} else if (event.detail < 2) { // a double click confirms nothing
			calm();
			act(now);
		}
	};
	return (label, action, about, body) => {
		show(it, label && admin && token);
		if (timer && now.action === action)
			return;
		now = {label: label || '', action, about, body};
		calm();
	};
}

// A refusal stays until the next one.
function answer(words, className = '') {
	say(words);
	write($('answer'), words);
	$('answer').className = className;
	show($('answer'), words);
	clearTimeout(answered);
	answered = className === 'done' && setTimeout(answer, 10000, '');
}

async function act({label, action, about, body}) {
	try {
		await ask(path(action), {method: 'POST', body: JSON.stringify(body)});
		answer(`${label}${about}: done.`, 'done');
	} catch (why) {
		answer(`${label}${about}: refused. ${why.message}`, 'trouble');
		if (why.status === 401)
			return allow('');
	}
	look();
}

function showAccess(needsToken = admin && !token) {
	show($('admin'), needsToken);
	show($('allowed'), admin && token);
}

function allow(word) {
	token = word;
	$('token').value = '';
	showAccess(!word);
	$(word ? 'forget' : 'token').focus();
	look();
}

$('admin').onsubmit = event => {
	event.preventDefault();
	answer('');
	allow($('token').value.trim());
};
$('forget').onclick = () => allow('');

const acts = ['Promote', 'Pause', 'Abort', 'Roll back'].map(label => ({label, offer: button($('acts'))}));

function offerActs(d) {
	const can = [d.phase === 'paused', d.phase === 'progressing', !d.outcome, d.outcome === 'promoted'];

	acts.forEach(({label, offer}, i) => offer(can[i] && label, label.toLowerCase().replace(' ', ''),
		` the deployment of ${d.new}`, {}));
}

// --- the parts of the page

function showHead(s) {
	const lines = [], {canary_percent: canary, skip_stuck_ms: stuck} = s;

	write($('name'), s.service);
	write($('facts'), [
		...s.endpoints.map(e => e.endpoint), s.policy, canary && `canary ${percent(canary)}`,
		s.only_version && `only version ${s.only_version}`, s.strict && 'strict',
		stuck && `skips stuck workers after ${stuck}\u202fms`,
		!s.run ? 'attached' : s.supervisor_pid ? `run by pid ${s.supervisor_pid}` : 'its supervisor has died',
	].filter(Boolean).join(' · '));
	if (s.run && !s.supervisor_pid)
		lines.push('The supervisor has died. The workers continue, and connections are steered as before. '
			+ 'Call reuseportd run again with the same arguments: it takes the workers over.');
	for (const e of s.endpoints)
		if (e.steered_by)
			lines.push(`Not in force on ${e.endpoint}: ${e.steered_by} selects the worker.`);
	if (s.remedy)
		lines.push(s.remedy);
	if (!s.counting)
		lines.push(`Connections are not counted: ${s.not_counting}`);
	if (s.parked)
		lines.push(`No worker is ready. Connections that wait: ${s.parked}.`);
	fill($('warnings'), 'li', lines, write);
	show($('warnings'), lines.length);
}

const tiles = ['Taking connections', 'New connections /s', 'Active', 'Queue', 'Requests /s'].map(title => {
	const tile = make($('totals'), 'div');

	write(make(tile, 'dt'), title);
	return {tile, value: make(make(tile, 'dd'), 'span', 'number')};
});
const totalLine = sparkline(tiles[1].value.parentElement);

const countsHttp = s => s.versions.some(row => row.responses);

function showTotals(s, total) {
	const most = greatest(memory.total);
	const texts = [`${whole(total.taking)} of ${whole(s.workers.length)}`, s.counting ? amount(total.rate, most) : NONE,
		s.counting ? whole(total.active) : NONE, whole(total.queued), countsHttp(s) ? amount(total.requests, total.requests) : null];

	tiles.forEach(({tile, value}, i) => {
		show(tile, texts[i]);
		write(value, texts[i] ?? '');
	});
	totalLine(memory.total, most);
}

// One bar: above what each version is to get, below what it got.
const lanes = ['Target', 'Got'].map(title => {
	write(make($('shares'), 'span'), title);
	return make($('shares'), 'div', 'lane');
});

function showVersions(s, sum) {
	const got = new Map();
	const rows = s.versions.filter(row => row.workers);

	for (const w of s.workers)
		got.set(w.version, (got.get(w.version) ?? 0) + w.got_percent);
	for (const row of rows)
		row.got_percent = sum ? got.get(row.version) : null;
	rows.sort((a, b) => a.version.localeCompare(b.version, 'en', {numeric: true}));
	versions.has('http', countsHttp(s));
	versions.update(rows);
	['share_percent', 'got_percent'].forEach((key, i) => fill(lanes[i], 'span', rows, (part, row) => {
		const grow = String(+(row[key] ?? 0).toFixed(2));

		mark(part, 'class', colour(row.version));
		if (part.style.flexGrow !== grow)
			part.style.flexGrow = grow;
	}));
}

function showWorkers(s) {
	const n = new Map();

	for (const w of s.workers)
		n.set(w.state, (n.get(w.state) ?? 0) + 1);
	write(workers.caption, `${plural(s.workers.length, 'worker')}: `
		+ [...n].sort((a, b) => b[1] - a[1]).map(([state, count]) => `${whole(count)} ${state}`).join(', ')
		+ '. The lines show the last minute, all on one scale.');
	workers.has('http', countsHttp(s));
	workers.has('run', s.run);
	workers.has('acts', admin && token);
	workers.update(s.workers);
	former.update(s.former_workers);
}

function timeLeft(d) {
	const left = d.step_ends_at - memory.time, held = d.held_until - memory.time;

	if (d.outcome)
		return held > 0 ? `; the workers of ${/aborted|failed/.test(d.outcome) ? d.new : d.old} are held for ${duration(held)} more`
			: '';
	if (d.phase === 'paused')
		return '; it waits for promote or abort';
	if (d.gate)
		return `; it asks the gate before the ${d.gate}`;
	if (!d.step_ends_at)
		return '';
	return left > 0 ? `; ${duration(left)} left` : '; its time is over: it waits for more samples';
}

function showStep(li, step, at, d) {
	const now = at + 1 === d.step && d.outcome !== 'promoted', past = !now && at < d.step;

	if (!li.firstChild)
		['b', 'span', 'i'].forEach(tag => make(li, tag));
	write(li.children[0], `${step.share}\u202f%`);
	write(li.children[1], step.seconds === null ? 'pause' : step.seconds ? duration(step.seconds) : '');
	write(li.children[2], past ? 'done' : !now ? '' : d.outcome ? 'ended here' : 'now');
	mark(li, 'class', now ? 'now' : past ? 'past' : '');
	mark(li, 'aria-current', now && !d.outcome ? 'step' : 'false');
}

function showDeployment(d) {
	show($('deployment'), d);
	show($('skip'), d);
	if (!d)
		return;
	write($('phase'), d.outcome ?? d.phase);
	mark($('phase'), 'class', `state ${tone(d.outcome ?? d.phase)}`);
	write($('progress'), `${d.strategy} from ${d.old} to ${d.new}: ${d.new} has ${percent(d.share)} of new `
		+ `connections (${d.workers} of ${plural(d.of, 'worker')})${timeLeft(d)}.`);
	fill($('steps'), 'li', d.steps, (li, step, at) => showStep(li, step, at, d));
	write($('reason'), d.reason ?? '');
	signals.update(d.signals);
	offerActs(d);
}

// --- changes that matter

function sayChanges(s) {
	const moved = new Map(), lines = [], d = s.deployment, {supervisor, told} = memory;

	for (const w of s.workers) {
		if ((memory.states.get(w.slot) ?? w.state) !== w.state)
			moved.set(w.state, [...moved.get(w.state) ?? [], w.slot]);
		memory.states.set(w.slot, w.state);
	}
	for (const [state, slots] of moved)
		lines.push(slots.length === 1 ? `Worker ${slots[0]} is ${state}.` : `${slots.length} workers are ${state}.`);
	memory.supervisor = s.supervisor_pid;
	memory.told = d && `Deployment of ${d.new}: ${d.outcome ?? d.phase}, step ${d.step} of ${d.steps.length}.`;
	if (memory.looks > 1 && !supervisor !== !s.supervisor_pid)
		lines.push(supervisor ? 'The supervisor has died.' : 'A supervisor runs again.');
	if (memory.looks > 1 && d && told !== memory.told)
		lines.push(memory.told);
	say(lines.join(' '));
}

// --- the server

const inAddress = () => new URLSearchParams(location.search).get('service');
let selected = inAddress();

const path = what => `api/v1/services/${encodeURIComponent(selected)}${what ? `/${what}` : ''}`;

async function ask(url, options = {}) {
	const headers = options.method ? {'Content-Type': 'application/json'} : {};

	if (token && (guarded || options.method))
		headers.Authorization = `Bearer ${token}`;
	const response = await fetch(url, {...options, headers, signal: AbortSignal.timeout(PATIENCE)});
	const words = await response.text();

	// The server escapes control characters.
	if (response.ok)
		return words.replace(/\\(u....|.)/g, (all, it) => it[1] ? '\ufffd' : all);
	// No JSON: something between the page and the server has answered.
	const error = /json/.test(response.headers.get('Content-Type')) && JSON.parse(words).error;

	throw Object.assign(new Error(error || `The server answers with ${response.status}.`), {status: response.status});
}

// --- a look

let timer = 0, looking = false, lastLook = 0, trouble = '';

function report(words) {
	write($('trouble'), words);
	show($('trouble'), words);
	mark(document.body, 'class', words ? 'stale' : '');
	mark($('link'), 'class', `state ${words ? 'bad' : 'good'}`);
	write($('link'), words ? 'not current' : 'live');
	if (words !== trouble)
		say(words || 'The page is current again.');
	trouble = words;
	const title = `${words ? '! ' : ''}${selected ? `${selected} · ` : ''}reuseportd`;

	if (document.title !== title)
		document.title = title;
}

function showServices(all) {
	admin = all.admin;
	guarded &&= Boolean(token);
	memory.time = all.time;
	selected ??= all.services.find(row => !row.error)?.service ?? null;
	showAccess();
	show($('services'), all.services.some(row => row.service !== selected));
	show($('none'), !all.services.length);
	services.update(all.services);
}

function showService(status, news, gap) {
	const sum = measure(status.workers, gap), total = remember(status.workers, gap);

	memory.looks++;
	if (news.length) // the last one that is known comes again, as it may have been counted up
		memory.events = [...memory.events.filter(e => e.seq < news[0].seq), ...news].slice(-EVENTS);
	if (status.deployment)
		memory.deployment = status.deployment;
	showHead(status);
	showTotals(status, total);
	showVersions(status, sum);
	showDeployment(memory.deployment);
	showWorkers(status);
	events.update(memory.events.toReversed());
	sayChanges(status);
	show($('service'), true);
}

// The last deployment, if the status has none any more. Answers may be old.
async function askDeployment(status, news) {
	const recent = memory.events.filter(e => e.time + 3 > memory.time).concat(news);

	if (status.deployment || !status.run || (memory.looks && !recent.some(e => e.event === 'deployment')))
		return;
	memory.deployment = await ask(path('rollout')).then(JSON.parse, why => {
		if (why.status !== 404)
			throw why;
	});
}

async function lookAtService(of, gap) {
	const last = memory.events.at(-1);
	const answers = await Promise.all([ask(path()), ask(path(`events${last ? `?after=${last.seq - 1}` : ''}`))]);
	const began = performance.now(), [status, news] = answers.map(JSON.parse);
	const parsed = performance.now();

	if (of === memory)
		await askDeployment(status, news);
	if (of !== memory)
		return; // another one is shown by now
	const resumed = performance.now();

	showService(status, news, gap);
	performance.clearMeasures('update');
	performance.measure('update', {start: began, duration: parsed - began + performance.now() - resumed});
}

function explain(why) {
	if (why.status === 401) {
		if (!guarded)
			token = ''; // it was not meant for this
		guarded = true;
		showAccess(true);
		return token ? 'The server refuses this token.' : 'The server needs a token.';
	}
	if (why.status === 404)
		return `There is no service ${selected} any more.`;
	return why.status ? why.message : `The server can't be reached since ${moment(lastLook)}. Trying again each second.`;
}

async function look() {
	clearTimeout(timer);
	if (document.hidden || looking)
		return;
	const began = performance.now(), now = Date.now() / 1000, of = memory;

	looking = true;
	lastLook ||= now;
	try {
		showServices(JSON.parse(await ask('api/v1/services')));
		if (selected !== null)
			await lookAtService(of, now - lastLook > 3 * PERIOD / 1000);
		lastLook = now;
		report('');
	} catch (why) {
		// 503: busy, so the values stay for now.
		if (of === memory && (why.status !== 503 || now - lastLook > 3))
			report(explain(why));
	}
	looking = false;
	if (!document.hidden)
		timer = setTimeout(look, of !== memory ? 0 : Math.max(PAUSE, PERIOD - (performance.now() - began)));
}

function select(name) {
	selected = name;
	forget();
	for (const table of [workers, former, events, versions, signals])
		table.update([]);
	show($('service'), false);
	look();
}

$('services').onclick = event => {
	const link = event.target.closest('a');

	if (!link || event.ctrlKey || event.metaKey || event.shiftKey)
		return;
	event.preventDefault();
	history.pushState(null, '', link.href);
	select(link.textContent);
};
addEventListener('popstate', () => select(inAddress()));
document.addEventListener('visibilitychange', look);

forget();
look();
