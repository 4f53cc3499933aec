"""The style, the script and the symbols of the html page. They are constants, so that their hashes are too."""

from __future__ import annotations

from keyturn.core.reasons import Condition

_ONLY = "".join(
    f"body:has(#only-{one}:checked) .group:not([data-condition={one}]){{display:none}}" for one in Condition
)

STYLE = (
    """
:root{color-scheme:light dark;--page:#f6f6f3;--card:#fff;--line:#e4e4de;--soft:#f0f0eb;--text:#1b1b18;--muted:#5c5c55;
--bad:#b3261e;--attention:#875000;--notice:#6a3ea1;--calm:#1d5ca8;--good:#1b6f45;--focus:#1d5ca8;
--mono:ui-monospace,"SF Mono","Cascadia Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media(prefers-color-scheme:dark){:root{--page:#121211;--card:#1b1b19;--line:#31312d;--soft:#252522;--text:#ecece8;
--muted:#a8a8a0;--bad:#ff8d83;--attention:#f2b45a;--notice:#c6a8ff;--calm:#8fbcff;--good:#7fd4a2;--focus:#8fbcff}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--text);
font:15px/1.5 Inter,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;
font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
h1,h2,h3,p,ul,ol,dl,dd,fieldset{margin:0;padding:0;border:0}
ul,ol{list-style:none}
code,.mono{font-family:var(--mono);font-size:.9em}
svg.i{width:1.15em;height:1.15em;flex:none;vertical-align:-.22em}
.sprite{position:absolute;width:0;height:0}
.sr{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.muted{color:var(--muted)}
.bad{color:var(--bad)}.attention{color:var(--attention)}.notice{color:var(--notice)}
.calm{color:var(--calm)}.good{color:var(--good)}
:focus-visible{outline:2px solid var(--focus);outline-offset:2px;border-radius:6px}
[hidden]{display:none!important}
.page{max-width:1080px;margin:0 auto;padding:40px 24px 64px}
header{margin-bottom:28px}
.brand{font-weight:600;margin-bottom:20px;color:var(--muted)}
.brand b{color:var(--text)}
h1{font-size:30px;line-height:1.2;font-weight:650;letter-spacing:-.02em;display:flex;gap:13px}
h1 svg.i{width:30px;height:30px;margin-top:3px}
header .sub{margin-top:8px;color:var(--muted)}
.stale{color:var(--attention);font-weight:600}
h2{font-size:17px;line-height:1.35;font-weight:650;letter-spacing:-.005em}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px}
.tools{display:flex;flex-wrap:wrap;gap:14px 16px;align-items:center;margin-bottom:36px}
.chips{display:flex;flex-wrap:wrap;gap:8px;flex:1 1 100%}
.chips label{display:inline-flex;gap:7px;align-items:center;padding:5px 12px 5px 10px;border:1px solid var(--line);
border-radius:999px;background:var(--card);cursor:pointer;line-height:1.5}
.chips label span{color:var(--text)}
.chips b{font-weight:650;color:var(--text)}
.chips label:hover{border-color:var(--muted)}
.chips input:checked+label{border-color:var(--text);box-shadow:inset 0 0 0 1px var(--text)}
.chips input:focus-visible+label{outline:2px solid var(--focus);outline-offset:2px}
.search{flex:1 1 260px;max-width:440px;position:relative}
.search input{width:100%;font:inherit;color:inherit;background:var(--card);border:1px solid var(--muted);
border-radius:8px;padding:8px 40px 8px 12px}
.search input::placeholder{color:var(--muted);opacity:1}
.search kbd{position:absolute;right:10px;top:9px;font:600 12px/1.6 var(--mono);color:var(--muted);
border:1px solid var(--line);border-radius:4px;padding:0 6px}
button{font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);border-radius:8px;cursor:pointer;
padding:7px 14px}
button:hover{border-color:var(--muted)}
.tools output{color:var(--muted)}
.group,.shared,.coming,.rest{margin-bottom:36px}
.head{display:flex;gap:9px;align-items:baseline;margin-bottom:12px}
.head svg.i{align-self:flex-start;margin-top:2px;width:19px;height:19px}
.head h2{color:var(--text)}
.head .number{color:var(--muted);font-weight:500}
.head p{color:var(--muted);font-size:14px}
details.key+details.key{border-top:1px solid var(--line)}
summary{cursor:pointer;list-style:none}
summary::-webkit-details-marker{display:none}
.key>summary{display:grid;grid-template-columns:minmax(0,1fr) 11.5em 8.5em 1em;gap:2px 20px;align-items:baseline;
padding:12px 18px;border-radius:12px}
.key>summary:hover{background:var(--soft)}
.key[open]>summary{border-radius:12px 12px 0 0}
.key .name{font-weight:600}
.key .why{display:block;color:var(--muted);font-size:14px}
.key:not([open]) .why{display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;overflow:hidden}
.group:not(.plain) .key[open] .why{display:none}
.plain .who{display:grid;grid-template-columns:minmax(0,2fr) minmax(0,3fr);gap:0 20px;align-items:baseline}
.plain .key>summary{padding-block:8px}
.key .when,.key .held{font-size:14px;color:var(--muted)}
.key .when b,.key .held b{font-weight:600;color:var(--text)}
.key .held .short{color:var(--bad)}
.turn{justify-self:end;color:var(--muted)}
.turn svg.i{width:12px;height:12px}
[open]>summary .turn svg{transform:rotate(90deg)}
.more{padding:6px 18px 24px;display:grid;grid-template-columns:minmax(0,1fr) minmax(0,20em);gap:22px 44px}
.more .main>*+*{margin-top:20px}
.more h3,.do h3{font-size:13px;font-weight:600;color:var(--muted);margin-bottom:6px}
.do p+p{margin-top:8px}
.do code,.shared code.cmd{background:var(--soft);border-radius:6px;padding:2px 7px;color:var(--text)}
.copy{font-size:13px;line-height:1.4;padding:2px 9px;margin-left:6px;border-radius:6px}
.do{background:transparent}
.list li{padding:7px 0;border-top:1px solid var(--line)}
.list li:first-child{border-top:0;padding-top:0}
.list li:last-child{padding-bottom:0}
.rest p+p,.rest .names{margin-top:8px}
.rest .names li{font-weight:600}
.state{font-weight:600}
.list .moments{color:var(--muted);font-size:14px}
.code{color:var(--muted);font-size:13px}
dl{display:grid;grid-template-columns:auto minmax(0,1fr);gap:4px 16px;font-size:14px;align-content:start}
dt{color:var(--muted)}
dd .muted{white-space:nowrap}
.side{align-self:start}
.shared .card,.stop{padding:16px 18px}
.shared li+li{margin-top:16px;padding-top:16px;border-top:1px solid var(--line)}
.shared .keys{font-weight:600}
.shared .do,.stop .do{margin-top:8px}
.stop{margin-bottom:28px;border-color:var(--bad)}
.coming .card{padding:18px 18px 8px}
.strip{display:block;width:100%;overflow:visible}
.strip text{font-size:12px;fill:var(--muted)}
.strip .lane{font-size:13px;fill:var(--text);font-weight:600}
.strip .n{fill:var(--card);font-weight:700;font-size:11px}
.strip line{stroke:var(--line)}
.strip .now{stroke:var(--muted)}
.m-rotation{fill:var(--calm)}.m-retire{fill:var(--notice)}.m-wait{fill:var(--attention)}
.agenda{margin-top:14px;border-top:1px solid var(--line)}
.agenda li{display:grid;grid-template-columns:13em 5.5em 8em minmax(0,1fr);gap:0 16px;padding:7px 0;
border-top:1px solid var(--line);font-size:14px;align-items:baseline}
.agenda li:first-child{border-top:0}
.agenda .in{color:var(--muted)}
.agenda svg.i{width:.95em;height:.95em;vertical-align:-.12em;margin-right:4px}
.coming details summary{padding:10px 0;color:var(--calm);font-size:14px;border-top:1px solid var(--line)}
.coming details .agenda{margin-top:0}
.rest .card{padding:14px 18px}
.rest h2{margin-bottom:12px}
footer{color:var(--muted);font-size:14px;border-top:1px solid var(--line);padding-top:16px}
@media(max-width:720px){
.page{padding:24px 16px 48px}
h1{font-size:25px}
h1 svg.i{width:26px;height:26px;margin-top:2px}
.plain .who{display:block}
.brand{margin-bottom:14px}
.group,.shared,.coming,.rest{margin-bottom:30px}
.tools{gap:14px 8px}
.search{max-width:none;flex:1 1 180px}
.search kbd{display:none}
.search input{padding-right:12px}
.head{flex-wrap:wrap;column-gap:9px}
.head p{flex-basis:100%}
.key>summary{grid-template-columns:minmax(0,1fr) auto;padding:12px 14px;row-gap:4px}
.key .who{grid-column:1}
.turn{grid-column:2;grid-row:1}
.key .who{grid-row:1}
.key .when{grid-column:1;grid-row:2}
.key .held{grid-column:1/-1;grid-row:2;justify-self:end}
.more{grid-template-columns:minmax(0,1fr);padding:2px 14px 20px}
.copy{margin-left:0}
.strip .alt{display:none}
.agenda li{grid-template-columns:minmax(0,1fr) auto;gap:0 12px}
.agenda .who{grid-column:1;grid-row:1;font-weight:600}
.agenda .in{grid-column:2;grid-row:1}
.agenda .in,.agenda .what{justify-self:end}
}
@media print{.tools,.copy{display:none}.page{max-width:none;padding:0}}
"""
    + _ONLY
)
"""One rule per condition filters by the chips, without a script."""

SCRIPT = """
"use strict";
(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const looked = document.getElementById("looked");
  const minutes = Math.floor((Date.now() - Date.parse(looked.dateTime)) / 60000);
  const age = document.getElementById("age");
  const told = (number, unit) => `${number} ${unit}${number === 1 ? "" : "s"} ago`;
  age.textContent = ", " + (minutes < 2 ? "just now" : minutes < 120 ? told(minutes, "minute")
    : minutes < 2880 ? told(Math.floor(minutes / 60), "hour") : told(Math.floor(minutes / 1440), "day"));
  age.classList.toggle("stale", minutes >= 1440);
  const box = document.getElementById("filter");
  if (!box) return;
  const keys = all("details.key").map((node) => [node, node.textContent.toLowerCase()]);
  const shown = document.getElementById("shown");
  const toggle = document.getElementById("toggle");
  const visible = () => keys.filter(([node]) => node.offsetParent !== null);
  const filter = () => {
    const words = box.value.toLowerCase().split(/\\s+/).filter(Boolean);
    for (const [node, text] of keys) node.hidden = !words.every((word) => text.includes(word));
    for (const group of all(".group")) group.hidden = !group.querySelector("details.key:not([hidden])");
    const number = visible().length;
    const narrowed = words.length || number < keys.length;
    toggle.textContent = visible().some(([node]) => node.open) ? "Close all" : "Open all";
    shown.textContent = narrowed ? (number ? `${number} of ${keys.length} shown` : "No key matches") : "";
  };
  for (const node of all("[data-script]")) node.hidden = false;
  box.addEventListener("input", filter);
  for (const chip of all(".chips input")) chip.addEventListener("change", filter);
  toggle.addEventListener("click", () => {
    const open = !visible().some(([node]) => node.open);
    for (const [node] of visible()) node.open = open;
  });
  for (const [node] of keys) node.addEventListener("toggle", filter);
  filter();
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && event.target !== box && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      box.focus();
    } else if (event.key === "Escape" && event.target === box) {
      box.value = "";
      filter();
    }
  });
  for (const code of all("code.cmd")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy ${code.textContent}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
    });
    code.after(button);
  }
})();
"""

SPRITE = """<svg class="sprite" aria-hidden="true" focusable="false">
<symbol id="i-bad" viewBox="0 0 20 20"><path fill="currentColor" d="M6.3 1h7.4L19 6.3v7.4L13.7 19H6.3L1 13.7V6.3z"/>
<path class="cut" stroke="var(--card)" stroke-width="2" stroke-linecap="round" d="m7 7 6 6m0-6-6 6"/></symbol>
<symbol id="i-attention" viewBox="0 0 20 20"><path fill="currentColor" stroke="currentColor" stroke-width="2"
stroke-linejoin="round" d="M10 2.5 18.5 17h-17z"/><path stroke="var(--card)" stroke-width="2" stroke-linecap="round"
d="M10 8v4.2m0 2.6v.1"/></symbol>
<symbol id="i-notice" viewBox="0 0 20 20"><circle cx="10" cy="10" r="8" fill="none" stroke="currentColor"
stroke-width="2"/><path fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"
stroke-linejoin="round" d="M10 5.5V10l3 2"/></symbol>
<symbol id="i-calm" viewBox="0 0 20 20"><circle cx="10" cy="10" r="8" fill="none" stroke="currentColor"
stroke-width="2"/><circle cx="10" cy="10" r="3.2" fill="currentColor"/></symbol>
<symbol id="i-good" viewBox="0 0 20 20"><circle cx="10" cy="10" r="9" fill="currentColor"/><path fill="none"
stroke="var(--card)" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" d="m6 10.4 2.7 2.7L14 7.5"/>
</symbol>
<symbol id="i-turn" viewBox="0 0 12 12"><path fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"
stroke-linejoin="round" d="m4 2 4 4-4 4"/></symbol>
<symbol id="m-rotation" viewBox="0 0 12 12"><circle class="m-rotation" cx="6" cy="6" r="5"/></symbol>
<symbol id="m-retire" viewBox="0 0 12 12"><path class="m-retire" d="M6 0l6 6-6 6-6-6z"/></symbol>
<symbol id="m-wait" viewBox="0 0 12 12"><path class="m-wait" d="M2 1l9 5-9 5z"/></symbol>
</svg>"""
"""The shapes: each tone has its own, beside its word and its colour."""
