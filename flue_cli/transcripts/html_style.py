"""How a conversation looks as a page: in light and dark, on narrow screens, on paper. No file is fetched."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #faf9f7; --card: #ffffff; --ink: #1f2328; --soft: #656d76; --line: #e4e1dc;
  --prompt: #eef3fb; --prompt-line: #4a7bd0; --bad: #b42318; --bad-card: #fdf1f0;
  --edit: #8a5a00; --code: #f4f2ee; --gone: #b42318; --new: #19703a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16181c; --card: #1e2126; --ink: #e3e5e8; --soft: #9aa3ad; --line: #31363d;
    --prompt: #1f2a3a; --prompt-line: #6d9ee8; --bad: #ff8f84; --bad-card: #331f1f;
    --edit: #e3b341; --code: #272b31; --gone: #ff8f84; --new: #6fce8f;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main, header, footer { max-width: 50rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 2.5rem; padding-bottom: .5rem; }
h1 { margin: 0; font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere; }
h1 .agent { color: var(--soft); font-weight: 400; }
.about, footer { color: var(--soft); font-size: .875rem; overflow-wrap: anywhere; }
.about { margin: .35rem 0 0; }
footer { padding-top: 1rem; padding-bottom: 3rem; }
article {
  margin: 1.75rem 0; scroll-margin-top: 1rem; content-visibility: auto;
  contain-intrinsic-size: auto 12rem;
}
article:target h2 a { outline: 2px solid var(--prompt-line); outline-offset: 3px; border-radius: 3px; }
h2 {
  display: flex; flex-wrap: wrap; gap: .1rem .6rem; margin: 0 0 .5rem; font-size: .875rem;
  font-weight: 400; color: var(--soft);
}
h2 a { color: var(--ink); font-weight: 600; text-decoration: none; font-variant-numeric: tabular-nums; }
h2 a:hover { text-decoration: underline; }
.mark { font-weight: 600; color: var(--bad); }
.edit .mark { color: var(--edit); }
section {
  margin: .5rem 0; padding: .7rem 1rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; overflow: hidden;
}
section.user {
  background: var(--prompt); border-color: transparent; border-left: 3px solid var(--prompt-line);
}
section.error {
  background: var(--bad-card); border-color: transparent; border-left: 3px solid var(--bad);
  color: var(--bad);
}
h3 {
  margin: 0 0 .2rem; font-size: .75rem; font-weight: 600; letter-spacing: .02em; color: var(--soft);
  overflow-wrap: anywhere;
}
.text { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; tab-size: 4; }
.text:empty::before { content: "(nothing)"; color: var(--soft); }
pre {
  margin: .35rem 0 0; padding: .6rem .75rem; background: var(--code); border-radius: .4rem;
  font: .8125rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; tab-size: 4;
}
details {
  margin: .5rem 0; border: 1px solid var(--line); border-radius: .6rem; padding: .45rem 1rem;
  overflow: hidden;
}
summary { cursor: pointer; color: var(--soft); font-size: .875rem; overflow-wrap: anywhere; }
del, ins { display: block; text-decoration: none; }
del { color: var(--gone); }
ins { color: var(--new); }
@media (max-width: 30rem) { body { font-size: 15px; } section { padding: .6rem .75rem; } }
@media print {
  :root {
    color-scheme: light;
    --page: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb;
    --prompt: #f2f2f2; --prompt-line: #666;
    --bad: #900; --bad-card: #fff; --edit: #630; --code: #f6f6f6; --gone: #900; --new: #060;
  }
  body { font-size: 10.5pt; }
  main, header, footer { max-width: none; padding-left: 0; padding-right: 0; }
  article { content-visibility: visible; }
  h2, h3 { break-after: avoid; }
}
"""
