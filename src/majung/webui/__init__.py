"""The pages: sources in `frontend/` (Svelte, TypeScript, Vite), built into `dist/` by `make web`.

`dist/` travels in the wheel and is not kept in git. It holds `index.html` and `assets/`, whose names
carry a hash of their content; text assets have a `.gz` beside them. Served by `serve/http/pages.py`.
"""

from pathlib import Path

DIST = Path(__file__).parent / "dist"
