import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

// The api serves the built files itself; `npm run dev` passes everything else on to one that runs.
const passed = ['/v1', '/login', '/logout', '/session', '/readyz', '/favicon.svg', '/ui', '/static'];

export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: '../api/static/console',
    emptyOutDir: true,
    // The policy of the api allows no inline script and no data in scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
  },
  server: { proxy: Object.fromEntries(passed.map((path) => [path, 'http://127.0.0.1:8080'])) },
});
