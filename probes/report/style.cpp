// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/report/style.h"

namespace expertscope::report {

const char* const kStyle = R"css(
:root{color-scheme:light dark;--page:#fcfcfb;--ink:#1d2126;--soft:#5d6772;--rule:#d9dde1;--panel:#f3f4f5;
--accent:#2a788e;--hot:#d55e00;--range:#2a788e26;--warn:#fff4e0;--warn-ink:#7a4a00;--band:#00000008;
--sans:-apple-system,"Segoe UI","Noto Sans","DejaVu Sans","Liberation Sans",Arial,sans-serif}
@media(prefers-color-scheme:dark){:root{--page:#15181c;--ink:#e3e6e9;--soft:#98a2ad;--rule:#343a41;--panel:#1d2126;
--accent:#5fc3b8;--hot:#ff8c42;--range:#5fc3b82e;--warn:#3a2c12;--warn-ink:#ffd48a;--band:#ffffff0a}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15.5px/1.55 var(--sans);overflow-wrap:anywhere}
main{max-width:1020px;margin:0 auto;padding:40px 24px 80px}
h1{font-size:28px;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:20px;margin:48px 0 8px;padding-top:16px;border-top:1px solid var(--rule)}
h3{font-size:16px;margin:28px 0 6px}
p{margin:8px 0;max-width:76ch}
.lead,figcaption,.note{color:var(--soft)}
a{color:var(--accent)}
code,.mono{font:13px/1.5 ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
figure{margin:18px 0;overflow-x:auto}
figcaption{font-size:13.5px;max-width:90ch;margin-top:6px}
svg{display:block;width:100%;min-width:600px;height:auto}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:24px 0}
.tile{background:var(--panel);border-radius:8px;padding:12px 14px;min-width:0}
.tile b{display:block;font-size:22px;font-weight:600;line-height:1.25}
.tile span{display:block;color:var(--soft);font-size:13px;line-height:1.4}
.scroll{overflow-x:auto;margin:12px 0}
table{border-collapse:collapse;font-size:13.5px;min-width:50%}
th,td{text-align:left;padding:5px 12px 5px 0;border-bottom:1px solid var(--rule);vertical-align:top;
overflow-wrap:normal}
th{font-weight:600;color:var(--soft);vertical-align:bottom;line-height:1.3}
.n{text-align:right;font-variant-numeric:tabular-nums}td.n{white-space:nowrap}
dl{display:grid;grid-template-columns:minmax(90px,max-content) minmax(0,1fr);gap:4px 20px;font-size:14.5px}
dt{color:var(--soft)}dd{margin:0}
dd,td,code,li,.text{unicode-bidi:isolate}
.warning{background:var(--warn);color:var(--warn-ink);border-radius:8px;padding:10px 16px;margin:16px 0}
.warning ul{margin:4px 0;padding-left:20px}
.texts{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:16px}
@media(max-width:720px){.texts{grid-template-columns:minmax(0,1fr)}}
.text{background:var(--panel);border-radius:8px;padding:12px 14px;white-space:pre-wrap;overflow-wrap:anywhere;
font:13.5px/1.55 ui-monospace,"DejaVu Sans Mono",monospace;margin:8px 0}
.text .same{color:var(--soft)}
.text mark{background:none;color:inherit;border-left:3px solid var(--hot);padding-left:3px}
details{margin:12px 0}summary{cursor:pointer;color:var(--soft)}
ol.timeline{list-style:none;margin:12px 0;padding:0 0 0 16px;border-left:3px solid var(--rule)}
ol.timeline>li{margin:0 0 12px;position:relative}
ol.timeline>li::before{content:"";position:absolute;left:-23px;top:7px;width:11px;height:11px;border-radius:50%;
background:var(--hot)}
ol.timeline ul{margin:2px 0;padding-left:20px}
.off{color:var(--soft);text-decoration:line-through}
svg .label{font:12px var(--sans);fill:var(--soft)}
svg .strong{fill:var(--ink);font-weight:600}
svg .threshold-label{fill:var(--hot)}
svg .axis{stroke:var(--soft);stroke-width:1}
svg .grid{stroke:var(--rule);stroke-width:1}
svg .threshold{stroke:var(--hot);stroke-width:1.3;stroke-dasharray:6 4}
svg .edit{stroke:var(--hot);stroke-width:2}
svg .curve{fill:none;stroke:var(--accent);stroke-width:2}
svg .range{fill:var(--range)}
svg .point{fill:var(--accent);fill-opacity:.72}
svg .super{fill:var(--hot);stroke:var(--page);stroke-width:1.5}
svg .band{fill:var(--band)}
svg .excluded{fill:var(--rule);fill-opacity:.45}
svg .dead{fill:var(--page);stroke:var(--rule);stroke-width:.8}
svg path,svg .dead{shape-rendering:crispEdges}
svg .mark{fill:none;stroke:#fff;stroke-width:1.6}
svg .mark-edge{fill:none;stroke:#000;stroke-width:3.6}
svg .symbol{font:bold 15px var(--sans);fill:#fff;stroke:#000;stroke-width:2.5px;
paint-order:stroke}
@media print{main{max-width:none;padding:0}h2{break-after:avoid}figure,.tile{break-inside:avoid}}
)css";

}  // namespace expertscope::report
