/* The page around the report: head, style, foot.
 *
 * Colours are those of Okabe and Ito (colour-blind safe), darkened or lightened until text on the page keeps a contrast
 * of 4.5 : 1. k0 to k5 are the classes; obtained is the accent, before is grey, the target is vermilion everywhere. */
#include <stdio.h>
#include <string.h>

#include "eval/report_sections.h"

static const char COLOURS[] =
    ":root{color-scheme:light dark;"
    "--paper:#fcfbf8;--raised:#fff;--ink:#1c2127;--quiet:#5f6670;--rule:#dedad2;--faint:#efece5;"
    "--accent:#0b6aa6;--obtained:#3a4a5e;--before:#b4b2ad;--target:#c2410c;--good:#00734f;--bad:#b3400b;"
    "--surplus:0 114 178;--shortage:213 94 0;"
    "--k0:#0072b2;--k1:#e69f00;--k2:#009e73;--k3:#cc79a7;--k4:#56b4e9;--k5:#d55e00;--on-k0:#fff}\n"
    "@media (prefers-color-scheme:dark){:root{"
    "--paper:#14171b;--raised:#1b1f25;--ink:#e9e6e0;--quiet:#a3a8b0;--rule:#333942;--faint:#242930;"
    "--accent:#4da3dc;--obtained:#9fb2c8;--before:#656b74;--target:#ff8a4c;--good:#4cc79a;--bad:#ff9a62;"
    "--surplus:86 180 233;--shortage:240 120 40;--k0:#3b97d3;--k5:#f07a2e;--on-k0:#14171b}}\n"
    "@media print{:root{--paper:#fff;--raised:#fff;--ink:#000;--quiet:#444;--rule:#bbb;--faint:#eee;"
    "--accent:#0b6aa6;--obtained:#3a4a5e;--before:#b4b2ad;--target:#c2410c;--good:#00734f;--bad:#b3400b;"
    "--surplus:0 114 178;--shortage:213 94 0;--k0:#0072b2;--k5:#d55e00;--on-k0:#fff}}\n";

static const char TEXT[] =
    "*{box-sizing:border-box}\n"
    "html{-webkit-text-size-adjust:100%;text-size-adjust:100%}\n"
    "body{margin:0;background:var(--paper);color:var(--ink);overflow-wrap:break-word;"
    "font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;"
    "font-variant-numeric:tabular-nums;-webkit-print-color-adjust:exact;print-color-adjust:exact}\n"
    "main{max-width:1080px;margin:0 auto;padding:56px 28px 72px}\n"
    "h1,h2{font-family:'Iowan Old Style','Palatino Linotype',Palatino,'URW Palladio L',P052,Georgia,serif;"
    "font-weight:600;text-wrap:balance}\n"
    "h1{font-size:clamp(1.7rem,1.1rem + 2.6vw,2.75rem);line-height:1.16;letter-spacing:-.012em;margin:.2em 0 .5em;"
    "max-width:24em}\n"
    "h2{font-size:1.5rem;line-height:1.25;margin:0 0 .7rem}\n"
    "h3{font-size:1rem;margin:2rem 0 .6rem}\n"
    "h4{font-size:1rem;font-weight:600;margin:0 0 .7rem;padding-bottom:.35rem;border-bottom:2px solid var(--ink)}\n"
    "p{margin:0 0 .7rem;text-wrap:pretty}\n"
    "section{border-top:1px solid var(--rule);margin-top:3rem;padding-top:1.6rem}\n"
    ".eyebrow{font-size:.8125rem;font-weight:600;color:var(--accent);margin:0}\n"
    ".lede{font-size:1.0625rem;color:var(--quiet);max-width:44em}\n"
    ".about{color:var(--quiet);max-width:52em;margin-bottom:1.3rem}\n"
    ".quiet{color:var(--quiet);font-weight:400}\n"
    ".absent{color:var(--quiet);font-style:italic}\n"
    "nav ul{display:flex;flex-wrap:wrap;gap:.3rem 1.3rem;list-style:none;margin:1.6rem 0 0;padding:0;font-size:.875rem}\n"
    "a{color:var(--accent);text-underline-offset:.18em}\n"
    ":focus-visible{outline:2px solid var(--accent);outline-offset:3px;border-radius:2px}\n"
    "footer{margin-top:3rem;color:var(--quiet);font-size:.8125rem}\n";

static const char CARDS[] =
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,320px),1fr));gap:18px}\n"
    ".card{background:var(--raised);border:1px solid var(--rule);border-radius:8px;padding:20px 22px 12px;"
    "break-inside:avoid;font-size:.9375rem;max-width:700px}\n"
    ".card h3{margin:0;font-size:.9375rem;font-weight:600}\n"
    ".verdict{display:flex;align-items:center;gap:.55em;font-size:1.125rem;font-weight:600;line-height:1.3;"
    "margin:.25rem 0 1rem}\n"
    ".verdict svg{flex:none;width:1.35em;height:1.35em;border-radius:50%;fill:none;stroke:var(--raised);stroke-width:2.4;"
    "stroke-linecap:round;stroke-linejoin:round;background:var(--quiet)}\n"
    ".within .verdict{color:var(--good)}.within svg{background:var(--good)}\n"
    ".off .verdict{color:var(--bad)}.off svg{background:var(--bad)}\n"
    ".strip{display:grid;grid-template-columns:4.9em 1fr;align-items:center;font-size:.8125rem;margin-bottom:5px}\n"
    ".strip-name{color:var(--quiet)}\n"
    ".strip-bar{display:flex;gap:2px;height:20px;border-radius:4px;overflow:hidden}\n"
    ".strip-bar i{flex:1 1 0;min-width:2px;font:600 .75rem/20px system-ui,sans-serif;padding-left:6px;color:#14171b}\n"
    ".strip-bar .k0{color:var(--on-k0)}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:.1rem 1rem;font-size:.8125rem;margin:.6rem 0 .9rem 4.9em}\n"
    ".dot{display:inline-block;width:.68em;height:.68em;border-radius:50%;margin-right:.45em}\n"
    "i.k0,.dot.k0{background:var(--k0)}i.k1,.dot.k1{background:var(--k1)}i.k2,.dot.k2{background:var(--k2)}"
    "i.k3,.dot.k3{background:var(--k3)}i.k4,.dot.k4{background:var(--k4)}i.k5,.dot.k5{background:var(--k5)}\n";

static const char SHEETS[] =
    ".sides{display:grid;gap:28px 40px}\n"
    "@media (min-width:720px){.sides.two{grid-template-columns:1fr 1fr}}\n"
    "figure{margin:0 0 1.5rem}\n"
    "figcaption{font-size:.875rem;margin-bottom:.5rem}figcaption span:not(.dot){color:var(--quiet);margin-left:.35em}\n"
    ".tiles{display:grid;gap:3px;grid-template-columns:repeat(auto-fill,minmax(46px,1fr))}\n"
    ".dense .tiles{gap:2px;grid-template-columns:repeat(auto-fill,minmax(30px,1fr))}\n"
    ".sides:not(.two) .tiles{grid-template-columns:repeat(auto-fill,minmax(56px,1fr))}\n"
    ".sides:not(.two) .dense .tiles{grid-template-columns:repeat(auto-fill,minmax(38px,1fr))}\n"
    ".tile{display:block;border-radius:3px;background-color:var(--faint)}\n"
    ".unsure{outline:2px dashed var(--target);outline-offset:-2px}\n"
    ".none{color:var(--quiet);font-size:.875rem;font-style:italic}\n"
    ".twins{margin-top:1.2rem;max-width:44em}\n"
    ".pairs{display:flex;flex-wrap:wrap;gap:12px 20px;margin-bottom:1rem}\n"
    ".pair{display:inline-flex;align-items:center;gap:5px;break-inside:avoid}.pair .tile{width:48px}"
    ".arrow{color:var(--quiet)}\n"
    "details{border-top:1px solid var(--rule);margin-top:1rem}\n"
    "summary{cursor:pointer;padding:.7rem 0;font-weight:600;font-size:.9375rem;color:var(--accent)}\n";

static const char CHARTS[] =
    ".plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,360px),1fr));gap:20px 48px}\n"
    ".plot{break-inside:avoid;max-width:620px}.plot figcaption{font-size:.9375rem}\n"
    ".chart{display:block;width:100%;height:auto;overflow:visible}\n"
    ".chart text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif;fill:var(--quiet)}\n"
    ".chart .name{fill:var(--ink);font-weight:600}.chart .axis{font-size:12px}.chart .asked{fill:var(--target)}\n"
    ".grid{stroke:var(--rule);stroke-width:1}.track{fill:var(--faint)}.obtained{fill:var(--obtained)}"
    ".before{fill:var(--before)}\n"
    ".halo{stroke:var(--paper);stroke-width:4;fill:none}.whisker{stroke:var(--ink);stroke-width:1.6;fill:none}\n"
    ".target{stroke:var(--target);stroke-width:2;fill:none}.target-halo{stroke:var(--paper);stroke-width:5;fill:none}"
    ".target-tip{fill:var(--target)}\n"
    ".line{fill:none;stroke-width:2.4;stroke-linejoin:round}.again{stroke-dasharray:9 3}\n"
    ".was{fill:none;stroke-width:1.6;opacity:.42}.wish{fill:none;stroke-width:1.6;stroke-dasharray:2 5}\n"
    ".chart .k0{stroke:var(--k0)}.chart .k1{stroke:var(--k1)}.chart .k2{stroke:var(--k2)}.chart .k3{stroke:var(--k3)}"
    ".chart .k4{stroke:var(--k4)}.chart .k5{stroke:var(--k5)}\n"
    ".fill.k0{fill:var(--k0)}.fill.k1{fill:var(--k1)}.fill.k2{fill:var(--k2)}.fill.k3{fill:var(--k3)}"
    ".fill.k4{fill:var(--k4)}.fill.k5{fill:var(--k5)}\n"
    ".key{display:inline-block;white-space:nowrap;margin-right:1.1em}\n"
    ".key i{display:inline-block;width:20px;height:10px;margin-right:.5em}\n"
    ".key-obtained{background:var(--obtained)}.key-before{background:var(--before);transform:scaleY(.6)}"
    ".key .key-target{width:2px;height:14px;background:var(--target);vertical-align:-2px}\n"
    ".key .key-wish,.key .key-was{height:0;vertical-align:.28em;border-top:2px dotted var(--ink)}"
    ".key .key-was{border-top:2px solid var(--ink);opacity:.35}\n"
    ".key-surplus{background:rgb(var(--surplus)/.5)}.key-shortage{background:rgb(var(--shortage)/.5)}\n";

static const char TABLES[] =
    ".scroll{overflow-x:auto;margin-bottom:1.8rem}\n"
    "table{border-collapse:collapse;font-size:.9375rem;line-height:1.4}\n"
    "caption{text-align:left;font-weight:600;padding-bottom:.5rem}\n"
    "th,td{text-align:left;vertical-align:top;padding:.5rem .9rem .5rem 0;border-bottom:1px solid var(--rule)}\n"
    "thead th{font-size:.8125rem;font-weight:600;color:var(--quiet)}tbody th{font-weight:400}\n"
    ".numbers{min-width:min(100%,640px)}\n"
    ".numbers td,.numbers thead th:not(:first-child){text-align:right;white-space:nowrap;padding:.5rem 0 .5rem 1.4rem}\n"
    ".prompts .strips{width:100%;min-width:280px;text-align:left}.prompts .strip{margin:0 0 2px}\n"
    ".numbers tbody th{min-width:9em}.numbers .group th{font-weight:600;padding-top:1rem}\n"
    ".meaning{display:block;color:var(--quiet);font-size:.8125rem;max-width:32em;min-width:15em}\n"
    ".interval{color:var(--quiet);display:inline-block;min-width:5.4em}\n"
    ".earlier{display:block;color:var(--quiet);font-size:.8125rem}\n"
    ".heat td{border:2px solid var(--paper);padding:.6rem .9rem;min-width:7.5em;background:var(--faint)}\n"
    ".heat th{border:0;padding:.6rem .9rem .6rem 0}.heat thead th{padding-left:.9rem}"
    ".heat thead th:first-child{padding-left:0}\n"
    ".heat tbody th{font-weight:600}.heat td .quiet{color:var(--ink);font-size:.8125rem}\n"
    ".cautions{padding-left:1.1em;max-width:46em}.cautions li{margin-bottom:.6rem}\n"
    "pre{background:var(--faint);border-radius:6px;padding:14px 16px;margin:0;white-space:pre-wrap;overflow-wrap:anywhere;"
    "font:.8125rem/1.6 ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace}\n"
    ".hash{font:.8125rem/1.6 ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace;overflow-wrap:anywhere;"
    "min-width:17em}\n"
    ".record{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,230px),1fr));gap:0 32px;margin:0 0 1rem}\n"
    ".record div{display:flex;justify-content:space-between;gap:1em;border-bottom:1px solid var(--rule);"
    "padding:.4rem 0;font-size:.875rem}\n"
    ".record dt{color:var(--quiet)}.record dd{margin:0;text-align:right;overflow-wrap:anywhere}\n"
    "@media (max-width:720px){.files thead{position:absolute;clip-path:inset(50%)}"
    ".files tr,.files th,.files td{display:block;border:0;padding:0;min-width:0}"
    ".files tr{border-bottom:1px solid var(--rule);padding:.5rem 0}.files th{font-weight:600}}\n"
    "@media (max-width:520px){.numbers .interval{display:block}.meaning,.numbers tbody th{min-width:0}main{padding:32px 18px 48px}.numbers td,.numbers thead th:not(:first-child)"
    "{padding-left:1rem}.card{padding:16px 16px 8px}}\n"
    "@media print{@page{margin:16mm 14mm}body{font-size:10.5pt}main{max-width:none;padding:0}nav{display:none}"
    "section{margin-top:1.6rem;padding-top:1rem}h2,h3,h4,figcaption,.about{break-after:avoid}tr,.tile,.heat,.strip{break-inside:avoid}"
    ".scroll{overflow:visible}.tiles{grid-template-columns:repeat(auto-fill,minmax(34px,1fr))}"
    ".sides.two,.plots{grid-template-columns:1fr 1fr}.plots{gap:6px 28px}"
    "details:not([open]),summary{display:none}}\n";

/* Nothing is loaded and nothing runs, whatever the run's texts contain. */
static const char HEAD[] =
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
    "'unsafe-inline'\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n";

void eq_report_open_page(eq_report *report, const char *title)
{
    eq_html *html = &report->html;
    eq_html_raw(html, HEAD);
    eq_html_format(html, "<title>%s</title>\n<style>\n", title);
    eq_html_raw(html, COLOURS);
    eq_html_raw(html, TEXT);
    eq_html_raw(html, CARDS);
    eq_html_raw(html, SHEETS);
    eq_html_raw(html, CHARTS);
    eq_html_raw(html, TABLES);
    eq_report_sheet_style(html, &report->sheet, 'a');
    eq_report_sheet_style(html, &report->before_sheet, 'b');
    eq_html_raw(html, "</style>\n</head>\n<body>\n<main>\n");
}

void eq_report_close_page(eq_report *report)
{
    eq_html_raw(&report->html, "</main>\n</body>\n</html>\n");
}

void eq_html_target_name(eq_html *html, const char *name)
{
    char part[256];
    for (;;) {
        size_t length = strcspn(name, "*");
        snprintf(part, sizeof(part), "%.*s", (int)length, name);
        eq_html_text(html, part);
        if (name[length] == 0)
            return;
        eq_html_raw(html, " \u00d7 ");
        name += length + 1;
    }
}
