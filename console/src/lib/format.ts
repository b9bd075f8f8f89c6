// Pure functions from values of the contract to text for people.
import type { Change, Claim, Job } from './contract';

export const ENDED = new Set(['JOB_STATE_SUCCEEDED', 'JOB_STATE_FAILED', 'JOB_STATE_CANCELLED']);
export const RUNNING = new Set(['JOB_STATE_GRANTED', 'JOB_STATE_RUNNING', 'JOB_STATE_CANCELLING']);

/** The last part of a resource name. */
export function short(name: string | undefined): string {
  return (name ?? '').split('/').at(-1) ?? '';
}

/** "acme" of "vendors/acme/...". */
export function vendorOf(name: string | undefined): string {
  const parts = (name ?? '').split('/');
  return parts[0] === 'vendors' ? (parts[1] ?? '') : '';
}

/** An enum value without its prefix, in lower case: "running". */
export function word(value: string | undefined, prefix: string): string {
  return (value ?? '').replace(prefix, '').toLowerCase() || 'unknown';
}

export function unitState(value: string | undefined): string {
  return word(value, 'UNIT_STATE_');
}

export function jobState(value: string | undefined): string {
  return word(value, 'JOB_STATE_');
}

/** L1 to L4, "" if not given. */
export function level(value: string | undefined): string {
  const order = ['FIXED', 'STRUCTURED', 'OPEN', 'DYNAMIC'];
  const at = order.indexOf((value ?? '').replace('ENVIRONMENT_LEVEL_', ''));
  return at < 0 ? '' : `L${at + 1}`;
}

export function plain(text: string | undefined): string {
  const words = (text ?? '').replaceAll(/[_-]+/g, ' ').trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function ms(time: string | undefined): number {
  return time ? Date.parse(time) : Number.NaN;
}

/** Seconds from one time to another; an open end is now; NaN without a start. */
export function between(start: string | undefined, end: string | undefined, nowMs: number): number {
  return ((end ? ms(end) : nowMs) - ms(start)) / 1000;
}

/** 0.4 s, 12 s, 3:05 min, 2 h 10. */
export function length(durationS: number): string {
  if (!Number.isFinite(durationS)) return '–';
  const s = Math.max(0, durationS);
  if (s < 9.95) return `${s.toFixed(1)} s`;
  const whole = Math.round(s);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')} min`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')}`;
}

export function clock(time: string | undefined): string {
  return time ? new Date(time).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false }) : '–';
}

/** A time of today as 14:10, of another day with its date. */
export function moment(time: string | undefined, nowMs: number): string {
  if (!time) return 'not known';
  const at = new Date(time);
  const hours = at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hour12: false });
  if (at.toDateString() === new Date(nowMs).toDateString()) return hours;
  return `${at.toLocaleDateString([], { weekday: 'short', day: 'numeric', month: 'short' })}, ${hours}`;
}

export function waited(job: Job, nowMs: number): number {
  return between(job.createTime, job.grantTime ?? job.endTime, nowMs);
}

export function ran(job: Job, nowMs: number): number {
  return job.startTime ? between(job.startTime, job.endTime, nowMs) : Number.NaN;
}

export function fraction(job: Job): number {
  return job.state === 'JOB_STATE_SUCCEEDED' ? 1 : Math.min(1, Math.max(0, job.progress?.fraction ?? 0));
}

export function kind(job: Job): 'collect' | 'train' | 'evaluate' | 'serve' | 'work' {
  if (job.serve) return 'serve';
  return job.collect ? 'collect' : job.train ? 'train' : job.evaluate ? 'evaluate' : 'work';
}

export function title(job: Job): string {
  return job.displayName || short(job.name);
}

/** Three significant digits, as far as they say something. */
export function figure(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  return size >= 1000 ? value.toFixed(0) : size >= 100 ? value.toFixed(1) : size >= 1 ? value.toFixed(2) : value.toPrecision(2);
}

/** What a job asks for, in words. */
export function claimWords(claim: Claim | undefined): string {
  const parts = (claim?.units ?? []).map(({ selector, count }) => {
    const what = selector?.unit
      ? short(selector.unit)
      : [selector?.maker, selector?.robotModel ?? selector?.robotClass].filter(Boolean).join(' ') || 'unit';
    return `${count || 1} × ${what}`;
  });
  if (claim?.simSlots) parts.push(`${claim.simSlots} sim ${claim.simSlots === 1 ? 'slot' : 'slots'}`);
  if (claim?.cell) parts.push(`cell ${claim.cell.cell ? short(claim.cell.cell) : (claim.cell.scenario ?? level(claim.cell.level))}`);
  return parts.join(' + ') || 'nothing';
}

// A job's changes that its progress bar shows already.
const QUIET = new Set(['progress', 'episode']);

/** A message with the names of things instead of their paths, and none of them twice in a row. */
export function brief(message: string | undefined): string {
  return (message ?? '').replaceAll(/\b(venues|vendors)\/[\w-]+\/\w+\//g, '').replaceAll(/\b([\w-]+: )\1+/g, '$1');
}

/** What happened, for people; "" for what only the map needs to know. */
export function sentence({ kind, message, job, unit, episode }: Change): string {
  const what = (kind ?? '').split('.').at(-1)?.replaceAll('_', ' ') ?? '';
  if (episode) return `Episode ${(episode.index ?? 0) + 1} of ${short(episode.unit) || `world ${episode.world ?? 0}`}: ${word(episode.outcome, 'EPISODE_OUTCOME_')}`;
  if (job) return QUIET.has(what) ? '' : `${title(job)}: ${brief(message || job.failure?.message) || what}`;
  if (unit && (message || unit.fault)) return `${short(unit.name)}: ${brief(message || unit.fault)}`;
  return '';
}
