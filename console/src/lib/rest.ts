// Calls of the api with the session's cookie; every refusal is a Problem.

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly reason: string,
    detail: string,
    readonly title = '',
  ) {
    super(detail);
  }
}

export async function get<T>(path: string): Promise<T> {
  return call<T>('GET', path);
}

export async function post<T>(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
  return call<T>('POST', path, body, headers);
}

/** All items of a paged list, up to `most`; `member` is the list's name in the answer. */
export async function list<T>(path: string, member: string, most = 5000): Promise<T[]> {
  const found: T[] = [];
  let token = '';
  do {
    const url = `${path}${path.includes('?') ? '&' : '?'}pageSize=${Math.min(1000, most)}&pageToken=${encodeURIComponent(token)}`;
    const page = await get<Record<string, unknown>>(url);
    found.push(...((page[member] as T[] | undefined) ?? []));
    token = (page['nextPageToken'] as string | undefined) ?? '';
  } while (token && found.length < most);
  return found;
}

async function call<T>(verb: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, {
      method: verb,
      credentials: 'same-origin',
      headers: {
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? null : JSON.stringify(body),
    });
  } catch {
    throw new Problem(0, 'OFFLINE', 'The server cannot be reached.');
  }
  if (response.status === 204) return undefined as T;
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Problem(response.status, answer.reason ?? '', answer.detail ?? response.statusText, answer.title ?? '');
  }
  return answer as T;
}
