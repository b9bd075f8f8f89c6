// The page in the address: "#/jobs/acme/018f..." is ["jobs", "acme", "018f..."].

class Route {
  parts = $state<string[]>([]);

  constructor() {
    addEventListener('hashchange', () => this.#read());
    this.#read();
  }

  #read() {
    this.parts = location.hash.replace(/^#\/?/, '').split('/').filter(Boolean).map(decode);
  }

  get page(): string {
    return this.parts[0] ?? 'venue';
  }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The address of a job's page. */
export function jobLink(name: string | undefined): string {
  const [, vendor, , job] = (name ?? '').split('/');
  return `#/jobs/${vendor}/${job}`;
}

export const route = new Route();
