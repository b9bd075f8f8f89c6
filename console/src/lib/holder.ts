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

export function holder(lease: string | undefined, occupied: boolean): Holder {
  if (lease) {
    const vendor = vendorOf(lease);
    const name = live.leases.get(lease)?.job;
    return { label: vendor, vendor, job: name ? live.jobs.get(name) : undefined };
  }
  return { label: occupied ? 'another vendor' : '', vendor: '', job: undefined };
}

/** A number from 0 to 5 for a vendor's colour, in the order of the names that the reader sees; 6 for the others. */
export function tint(vendor: string): number {
  if (!vendor) return 6;
  const names = [...new Set([...live.jobs.keys()].map(vendorOf))].sort();
  return Math.max(0, names.indexOf(vendor)) % 6;
}
