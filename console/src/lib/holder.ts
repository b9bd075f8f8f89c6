// Who works with something, as far as the reader may know it.
import { live } from './live.svelte';
import type { Job } from './contract';
import { vendorOf } from './format';

export interface Holder {
  /** "acme" or "another vendor"; "" if nobody. */
  label: string;
  /** The vendor, "" if it is not the reader's to know. */
  vendor: string;
  job: Job | undefined;
}

export function holder(thing: { name: string; lease?: string }, occupied: boolean): Holder {
  const lease = thing.lease || (occupied ? live.heldBy.get(thing.name) : '');
  if (lease) {
    const vendor = vendorOf(lease);
    const name = live.leases.get(lease)?.job;
    return { label: vendor, vendor, job: name ? live.jobs.get(name) : undefined };
  }
  return { label: occupied && !live.operator ? 'another vendor' : '', vendor: '', job: undefined };
}

/** A number from 0 to 5 for a vendor's colour, in the order of the names that the reader sees; 6 for the others. */
export function tint(vendor: string): number {
  if (!vendor) return 6;
  const names = [...new Set([...live.jobs.keys()].map(vendorOf))].sort();
  const at = names.indexOf(vendor);
  return at < 0 ? 6 : at % 6;
}
