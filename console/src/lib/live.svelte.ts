// What the console knows of the venue: read once, then kept up to date by the live stream.
//
// The number of the latest event is read first and the lists after it, so that the stream, opened at that number,
// repeats at worst what the lists already show. After `resync` the lists are read again; changes that arrive
// meanwhile wait and are applied on top.
import { SvelteMap } from 'svelte/reactivity';
import type { Cell, Change, Episode, Identity, Job, Lease, SimSlot, Unit, Venue } from './contract';
import { sentence } from './format';
import { get, list, post, Problem } from './rest';

const KEPT_CHANGES = 60;
const KEPT_JOBS = 2000;
const RETRY_MS = 2000;
const PROBE_MS = 5000;

export type Connection = 'connecting' | 'live' | 'lost';

class Live {
  identity = $state<Identity | null>(null);
  stranger = $state(false);
  venue = $state<Venue>({});
  units = new SvelteMap<string, Unit>();
  cells = new SvelteMap<string, Cell>();
  slots = new SvelteMap<string, SimSlot>();
  jobs = new SvelteMap<string, Job>();
  leases = new SvelteMap<string, Lease>();
  changes = $state<Change[]>([]);
  episode = $state<Episode | null>(null);
  connection = $state<Connection>('connecting');
  /** Whether the api hears the scheduler's events. */
  upstream = $state(true);
  scheduler = $state<{ ok: boolean; answerMs: number }>({ ok: true, answerMs: Number.NaN });
  sequence = $state(0);
  lagMs = $state(Number.NaN);
  loaded = $state(false);
  problem = $state('');
  nowMs = $state(Date.now());
  /** Which known lease holds a unit, a slot or a cell, by their names. */
  heldBy = $derived.by(() => {
    const held = new Map<string, string>();
    for (const lease of this.leases.values()) {
      for (const { unit } of lease.units ?? []) held.set(unit ?? '', lease.name);
      for (const slot of lease.simSlots ?? []) held.set(slot, lease.name);
      if (lease.cell) held.set(lease.cell, lease.name);
    }
    return held;
  });

  #source: EventSource | null = null;
  #waiting: Change[] | null = null;
  /** The lists show everything up to this event. */
  #listed = 0;
  #retry = 0;

  get operator(): boolean {
    return this.identity?.role === 'operator';
  }

  /** "vendors/acme", or "vendors/-" for operators. */
  get parent(): string {
    return this.identity?.vendor || 'vendors/-';
  }

  async start(): Promise<void> {
    setInterval(() => (this.nowMs = Date.now()), 1000);
    setInterval(() => void this.#probe(), PROBE_MS);
    await this.open();
  }

  /** Read everything and follow. Shows the login page if nobody is logged in. */
  async open(): Promise<void> {
    clearTimeout(this.#retry);
    try {
      if (!(await get<{ open: boolean }>('/session')).open) {
        this.#forget();
        return;
      }
      this.identity = await get<Identity>('/v1/identity');
      this.stranger = false;
      await this.#load();
      this.#follow();
      void this.#probe();
    } catch (error) {
      if (error instanceof Problem && error.status === 401) {
        this.#forget();
        return;
      }
      this.problem = error instanceof Error ? error.message : String(error);
      this.connection = 'lost';
      this.#retry = window.setTimeout(() => void this.open(), RETRY_MS);
    }
  }

  async logOut(): Promise<void> {
    await post('/logout').catch(() => undefined);
    this.#forget();
  }

  /** Take over a resource that a call answered with, before its event arrives. */
  put(change: Change): void {
    const { unit, cell, simSlot, lease, job, episode } = change;
    if (unit) this.units.set(unit.name, unit);
    if (cell) this.cells.set(cell.name, cell);
    if (simSlot) this.slots.set(simSlot.name, simSlot);
    if (lease) {
      if (lease.endTime) this.leases.delete(lease.name);
      else this.leases.set(lease.name, lease);
    }
    if (job) {
      // In an event the number stands beside the job, in a list inside it.
      const sequence = job.sequence ?? change.sequence ?? '0';
      if (Number(sequence) >= Number(this.jobs.get(job.name)?.sequence ?? 0)) this.jobs.set(job.name, { ...job, sequence });
    }
    if (episode) this.episode = episode;
  }

  async #load(): Promise<void> {
    this.#waiting ??= [];
    const venue = await get<Venue>('/v1/venue');
    const active = ['QUEUED', 'GRANTED', 'RUNNING', 'CANCELLING'].map((state) => `states=JOB_STATE_${state}`).join('&');
    const [units, cells, slots, leases, recent, unfinished] = await Promise.all([
      list<Unit>('/v1/units', 'units'),
      list<Cell>('/v1/cells', 'cells'),
      list<SimSlot>('/v1/sim-slots', 'simSlots'),
      list<Lease>('/v1/leases', 'leases'),
      list<Job>(`/v1/${this.parent}/jobs`, 'jobs', 200),
      list<Job>(`/v1/${this.parent}/jobs?${active}`, 'jobs', KEPT_JOBS),
    ]);
    this.venue = venue;
    replace(this.units, units);
    replace(this.cells, cells);
    replace(this.slots, slots);
    replace(this.leases, leases);
    replace(this.jobs, [...recent, ...unfinished]);
    this.#listed = Number(venue.sequence ?? 0);
    // A little of what happened before is fetched too, for people to read.
    if (!this.loaded) this.sequence = Math.max(0, this.#listed - KEPT_CHANGES * 2);
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    waiting.forEach((change) => this.#apply(change));
    this.loaded = true;
    this.problem = '';
  }

  #follow(): void {
    this.#source?.close();
    const source = new EventSource(`/v1/events?after=${this.sequence}`);
    this.#source = source;
    source.onopen = () => {
      this.connection = 'live';
      this.upstream = true;
    };
    source.onerror = () => {
      this.connection = 'lost';
      // The browser tries again by itself, unless the answer was a refusal: then the session or the scheduler is gone.
      if (source.readyState === EventSource.CLOSED && source === this.#source) {
        clearTimeout(this.#retry);
        this.#retry = window.setTimeout(() => void this.open(), RETRY_MS);
      }
    };
    source.addEventListener('change', (event) => {
      const change = JSON.parse((event as MessageEvent<string>).data) as Change;
      if (this.#waiting) this.#waiting.push(change);
      else this.#apply(change);
    });
    source.addEventListener('bookmark', (event) => {
      this.sequence = Math.max(this.sequence, Number((event as MessageEvent).lastEventId || 0));
    });
    source.addEventListener('upstream', (event) => {
      this.upstream = (JSON.parse((event as MessageEvent<string>).data) as { connected: boolean }).connected;
    });
    source.addEventListener('resync', (event) => {
      this.sequence = Number((event as MessageEvent).lastEventId || 0);
      this.#waiting = [];
      this.#load().catch(() => void this.open());
    });
  }

  #apply(change: Change): void {
    const sequence = Number(change.sequence ?? 0);
    const fresh = sequence > this.#listed;
    if (fresh) this.put(change);
    this.sequence = Math.max(this.sequence, sequence);
    if (fresh && change.time) this.lagMs = Math.max(0, Date.now() - Date.parse(change.time));
    // Beats, other changes without a sentence and repetitions would push out what people want to read.
    const said = sentence(change);
    const before = this.changes.find((other) => other.resource === change.resource);
    if (said && (!before || sentence(before) !== said)) this.changes = [change, ...this.changes].slice(0, KEPT_CHANGES);
    if (this.jobs.size > KEPT_JOBS) this.#dropOldest();
  }

  #dropOldest(): void {
    const ended = [...this.jobs.values()].filter((job) => job.endTime).sort((a, b) => a.endTime!.localeCompare(b.endTime!));
    ended.slice(0, KEPT_JOBS / 10).forEach((job) => this.jobs.delete(job.name));
  }

  async #probe(): Promise<void> {
    if (this.stranger) return;
    try {
      const ready = await get<{ answer_ms?: number }>('/readyz');
      this.scheduler = { ok: true, answerMs: ready.answer_ms ?? Number.NaN };
    } catch {
      this.scheduler = { ok: false, answerMs: Number.NaN };
    }
  }

  #forget(): void {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#retry);
    this.stranger = true;
    this.identity = null;
    this.loaded = false;
    this.sequence = 0;
    this.changes = [];
    [this.units, this.cells, this.slots, this.jobs, this.leases].forEach((map) => map.clear());
  }
}

function replace<T extends { name: string }>(map: SvelteMap<string, T>, items: T[]): void {
  const names = new Set(items.map((item) => item.name));
  for (const name of [...map.keys()]) if (!names.has(name)) map.delete(name);
  for (const item of items) map.set(item.name, item);
}

export const live = new Live();
