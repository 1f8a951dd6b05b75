"""How a page looks: on a screen, on a phone, in the dark, and in print.

The colours of lines differ in lightness too, and each line has dashes of its own, so that they are told apart without
colour. They are those of Okabe and Ito (2008), darkened where they are faint on white.
"""

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #595959; --paper: #fff; --line: #d4d4d4; --box: #f5f5f3;
  --shade: 0, 114, 178; --warn: #8a4b00; --c1: #0072b2; --c2: #c2500a; --c3: #00805c; --c4: #9b4480; --c5: #7a6200; --c6: #555 }
@media (prefers-color-scheme: dark) { @media screen { :root { --ink: #e8e8e6; --soft: #a8a8a4; --paper: #161616;
  --line: #444; --box: #222; --shade: 60, 150, 215; --warn: #ffb454; --c1: #56b4e9; --c2: #ff9a57; --c3: #3ecf9f;
  --c4: #e29bc6; --c5: #dcc64d; --c6: #bbb } } }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; color: var(--ink); background: var(--paper);
  margin: 0 auto; padding: 1rem 1rem 4rem; max-width: 68rem; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0 } h2 { font-size: 1.2rem; margin: 0 0 .5rem }
h3 { font-size: 1rem; margin: 0 0 .25rem } p { margin: .5rem 0; max-width: 46rem } ul { margin: .5rem 0; padding-left: 1.2rem }
section { margin-top: 2.25rem; padding-top: 1.25rem; border-top: 1px solid var(--line) }
.answer { font-size: 1.1rem } .soft, figcaption small, dt { color: var(--soft) } .soft { font-size: .9rem }
.warn { border-left: 4px solid var(--warn); padding: .1rem .75rem; list-style: none; margin-left: 0 }
.warn li::before { content: "Warning: "; font-weight: 600 }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: .75rem; margin: 1rem 0; padding: 0 }
.tiles > div { background: var(--box); border-radius: .4rem; padding: .6rem .8rem } .tiles b { display: block; font-size: 1.45rem;
  font-weight: 600; line-height: 1.3 } .tiles span { color: var(--soft); font-size: .85rem; display: block; line-height: 1.35 }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); gap: .4rem 2rem; margin: .75rem 0 }
dl > div { display: grid; grid-template-columns: 7.5rem 1fr; gap: .75rem } dt { font-size: .9rem; line-height: 1.65 }
dd { margin: 0 }
code { font: .85em/1.45 ui-monospace, Consolas, Menlo, monospace } pre { background: var(--box); border-radius: .4rem;
  padding: .6rem .8rem; margin: .5rem 0; white-space: pre-wrap }
.wide { overflow-x: auto; max-width: 100%; margin: .75rem 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; vertical-align: top }
th { font-weight: 600 } tbody th { font-weight: 400 } th:first-child { text-align: left; position: sticky; left: 0;
  background: var(--paper) } td small { display: block; color: var(--soft);
  white-space: normal; min-width: 7rem }
.matrix th, .matrix td { padding: .2rem .3rem; border: 1px solid var(--line); text-align: center; min-width: 1.9rem;
  font-size: .85rem; print-color-adjust: exact; -webkit-print-color-adjust: exact }
.matrix tbody th { max-width: 9rem; overflow: hidden; text-overflow: ellipsis; text-align: right; padding-right: .5rem }
.matrix thead th { vertical-align: bottom }
.matrix thead bdi { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 11rem; overflow: hidden }
.matrix .right { font-weight: 700 } .matrix .none { color: transparent }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1rem 2rem }
figure { margin: .5rem 0; break-inside: avoid } .chart { max-width: 30rem } .chart figcaption { font-weight: 600 }
svg { display: block; width: 100%; height: auto } svg text { font-size: 11px; fill: var(--ink) } .key svg { width: 2.2rem }
.key { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; font-size: .9rem; list-style: none; padding: 0; margin: .25rem 0 }
.key li { display: flex; align-items: center; gap: .4rem }
.thumbs { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.25rem, 1fr)); gap: .75rem; margin: .5rem 0 }
.thumbs figure { margin: 0; min-width: 0; font-size: .8rem; line-height: 1.3 } .thumbs figcaption small { display: block }
.thumbs img { display: block; width: 6rem; height: 6rem; object-fit: contain; background: var(--box); margin-bottom: .25rem }
.small img { image-rendering: pixelated }
.sheet { grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1.25rem } .sheet figure { font-size: .9rem }
.sheet img { width: 100%; height: 13rem }
.cards { display: grid; gap: 1.25rem 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(min(var(--card, 15rem), 100%), 1fr)) }
.cards > div { break-inside: avoid; min-width: 0 } .cards h4 { font-size: .8rem; font-weight: 600; margin: .35rem 0 0 }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .75rem } .pair .thumbs { grid-template-columns: 1fr }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0; text-align: inherit; cursor: pointer }
th button::after { content: " \\2195"; color: var(--soft) } th[aria-sort=ascending] button::after { content: " \\2191" }
th[aria-sort=descending] button::after { content: " \\2193" }
tr.published > * { color: var(--soft) } tr.published > :first-child { white-space: normal; min-width: 12rem; max-width: 24rem;
  font-size: .85rem }
details { margin: .75rem 0 } summary { cursor: pointer; font-weight: 600 }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem }
@media (max-width: 40rem) { h1 { font-size: 1.3rem } dl > div { grid-template-columns: 6.5rem 1fr }
  .tiles { grid-template-columns: 1fr 1fr } .tiles b { font-size: 1.25rem } th, td { padding: .3rem .4rem }
  table { font-size: .9rem } .matrix tbody th { max-width: 6rem }
  .matrix th, .matrix td { font-size: .8rem; min-width: 1.7rem; padding: .2rem .15rem } }
@media print { h2, h3, h4, summary, section > p { break-after: avoid }
  body { max-width: none; font-size: 11pt } .wide { overflow: visible }
  details::details-content { content-visibility: visible; block-size: auto } th:first-child { position: static } }
"""
