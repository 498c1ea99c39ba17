"use strict";
// The dialogue browser. Every text of a dialogue reaches the page through textContent, never as markup.
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const app = document.getElementById("app");
  const FILTERS = { search: "", persona: "", item: "", stress: "", leak: "", verdict: "", failed: "" };
  const state = { left: data.left, right: data.right, order: "run", differ: true, at: 0, id: "", turn: null, ...FILTERS };
  const LISTED = 200;
  let cases = [];
  let shift = 0;
  let box = {};

  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === false || value === null || value === undefined) continue;
      if (name === "text") node.textContent = value;
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : value);
    }
    for (const child of children.flat()) if (child) node.append(child);
    return node;
  }
  const show = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace(/^-(?=0\.?0*$)/, "").replace("-", "−"));
  const signed = (value, digits) => (value !== null && value !== undefined && value > 0 ? "+" : "") + show(value, digits);
  const stressOf = (dialogue) => (dialogue.stress ? dialogue.stress[0] + " @ " + dialogue.stress[1] : "");
  const cellOf = (dialogue) => JSON.stringify([dialogue.student, stressOf(dialogue)]);
  const words = (dialogue) =>
    [dialogue.id, dialogue.student, dialogue.item, dialogue.persona, dialogue.tutor, dialogue.strategy, stressOf(dialogue),
      (dialogue.failure || []).join(" "), (data.items[dialogue.item] || { concept: "" }).concept, ...dialogue.turns.map((turn) => turn.text),
      ...dialogue.leaks.map((leak) => leak[3]), ...dialogue.verdicts.map((v) => [v[0], v[1], v[5] || "", v[6] || ""].join(" "))].join("\n").toLowerCase();
  // Words must all occur; "words in quotes" must stand together.
  const terms = () => (state.search.match(/"[^"]+"|\S+/g) || []).map((term) => term.replace(/^"(.+)"$/, "$1"));

  // One case per student and stress; a student met twice in one column keeps both meetings. Left -1: every tutor.
  function allCases() {
    const found = new Map();
    const met = new Map();
    for (const dialogue of data.dialogues) {
      const side = dialogue.column === state.right ? "right" : dialogue.column === state.left || state.left < 0 ? "left" : "";
      if (!side) continue;
      const seat = cellOf(dialogue) + dialogue.column;
      const count = met.get(seat) || 0;
      met.set(seat, count + 1);
      const place = cellOf(dialogue) + count;
      const key = state.left < 0 && side === "left" ? place + "/" + dialogue.column : place;
      if (!found.has(key)) found.set(key, { left: null, right: null, place: place });
      found.get(key)[side] = dialogue;
    }
    if (state.left >= 0) return [...found.values()];
    const entries = [...found.values()].filter((entry) => entry.left);
    for (const entry of entries) entry.right = (found.get(entry.place) || entry).right;
    return entries;
  }
  const both = (entry) => [entry.left, entry.right].filter(Boolean);
  const change = (entry) => {
    const values = both(entry).map((d) => d[data.measure]).map((value) => (value === undefined ? null : value));
    if (values.some((value) => value === null)) return null;
    return state.right < 0 ? values[0] : values.length === 2 ? values[1] - values[0] : null;
  };
  const worst = (entry) => Math.max(-1, ...both(entry).flatMap((d) => d.leaks.map((leak) => leak[2])));
  function matches(entry, sought) {
    const sides = both(entry);
    const [first] = sides;
    const asked = (wanted, holds) => !wanted || (wanted === "yes") === sides.some(holds);
    if (state.persona && first.persona !== state.persona) return false;
    if (state.item && first.item !== state.item) return false;
    if (state.stress && (stressOf(first) || "none") !== state.stress) return false;
    if (!asked(state.leak, (d) => d.leaks.length > 0) || !asked(state.failed, (d) => d.failure)) return false;
    if (state.verdict && !sides.some((d) => d.verdicts.some((v) => v[2] === state.verdict))) return false;
    return !sought.length || sides.some((d) => { d.words = d.words || words(d); return sought.every((term) => d.words.includes(term)); });
  }
  function arrange() {
    const sought = terms();
    cases = allCases().filter((entry) => matches(entry, sought));
    if (state.order !== "run") {
      const sign = state.order === "rise" ? -1 : 1;
      const rank = (entry) => (state.order === "leak" ? -worst(entry) : change(entry) === null ? Infinity : sign * change(entry));
      cases.sort((a, b) => { const [x, y] = [rank(a), rank(b)]; return x < y ? -1 : x > y ? 1 : 0; });
    }
    const kept = cases.findIndex((entry) => both(entry).some((d) => d.id === state.id));
    state.at = kept >= 0 ? kept : 0;
    shift = 0;
    draw();
  }
  function go(step) { if (cases.length) open(Math.max(0, Math.min(cases.length - 1, state.at + step))); }
  function open(index) {
    Object.assign(state, { at: index, turn: null, id: "" });
    shift = 0;
    draw();
    // the address of what is shown, to be copied; some places, such as a preview, have none
    try { history.replaceState(null, "", "#dialogue=" + encodeURIComponent(state.id)); } catch (error) { /* not here */ }
  }

  function drawList() {
    const start = Math.max(0, Math.min(state.at - LISTED / 2 + shift, cases.length - LISTED));
    const held = box.list.contains(document.activeElement);
    const digits = data.measure === "reward" ? 2 : 3;
    const value = (d) => show(d[data.measure], digits);
    const rows = cases.slice(start, start + LISTED).map((entry, offset) => {
      const [first] = both(entry);
      const index = start + offset;
      const values = entry.left && entry.right ? value(entry.left) + " → " + value(entry.right) : value(first);
      const flags = [both(entry).some((d) => d.leaks.length) ? "leak" : "", both(entry).some((d) => d.failure) ? "failed" : "", both(entry).some((d) => d.verdicts.some((v) => v[2] === "invalid")) ? "invalid verdict" : ""].filter(Boolean);
      return el("button", { type: "button", "aria-current": index === state.at ? "true" : null, onclick: () => open(index) },
        el("span", { text: [first.item.split("/").pop(), first.persona, stressOf(first)].filter(Boolean).join(", ") }),
        el("small", { text: (state.left < 0 ? data.columns[first.column] + ", " : "") + data.measure + " " + values + (flags.length ? ", " + flags.join(", ") : "") }));
    });
    const more = (text, step) => el("button", { type: "button", class: "more", text: text, onclick: () => { shift += step; drawList(); } });
    const before = start > 0 ? more("↑ " + start + " before these", -LISTED) : null;
    const after = start + rows.length < cases.length ? more("↓ " + (cases.length - start - rows.length) + " after these", LISTED) : null;
    box.list.replaceChildren(...(rows.length ? [before, ...rows, after].filter(Boolean) : [el("p", { text: "No dialogue matches." })]));
    const current = box.list.querySelector("[aria-current]");
    box.list.scrollTop = current ? Math.max(0, current.offsetTop - box.list.clientHeight / 2) : 0;
    if (held && current) current.focus({ preventScroll: true });
    box.count.textContent = cases.length ? (state.at + 1) + " of " + cases.length : "0";
  }

  function badge(kind, text) { return el("span", { class: "badge " + kind, text: text }); }
  function drawCandidates(turn) {
    const rows = turn.candidates.map(([text, reward, question, leak], index) => {
      const said = index === turn.chosen;
      const facts = ["reward " + show(reward, 2), question ? "question" : "", leak ? "leak " + show(leak, 2) : "", said ? "said" : ""].filter(Boolean);
      return el("li", { class: said ? "said-one" : null }, el("span", { dir: "auto", text: said ? turn.text : text === null ? "(text not kept here)" : text }), el("small", { text: facts.join(", ") }));
    });
    return el("details", {}, el("summary", { text: turn.candidates.length + " candidates" }), el("ol", {}, rows));
  }
  // Neighbouring words that differ become one mark.
  function drawPieces(pieces) {
    const nodes = [];
    for (let at = 0; at < pieces.length; at++) {
      let [text, differs] = pieces[at];
      if (differs) while (at + 2 < pieces.length && pieces[at + 2][1]) { text += pieces[at + 1][0] + pieces[at + 2][0]; at += 2; }
      nodes.push(differs ? el("mark", { text: text }) : document.createTextNode(text));
    }
    return nodes;
  }
  function drawTurn(turn, dialogue, pieces) {
    const leaks = dialogue.leaks.filter((leak) => leak[0] === turn.index);
    const classes = ["turn", turn.role === "tutor" ? "tutor" : "student", leaks.length ? "leaks" : "", state.turn === turn.index && state.id === dialogue.id ? "target" : ""];
    const who = el("div", { class: "who" }, el("span", { text: turn.role === "tutor" ? "Tutor" : "Student" }), turn.question ? badge("question", "question") : null,
      turn.confirms ? badge("", "confirms") : null, turn.unmeasured ? badge("", "not measured: " + turn.unmeasured.join(", ")) : null, leaks.map((leak) => badge("leak", "leak: " + leak[1] + " " + show(leak[2], 2))), turn.stressor ? badge("", "stressor: " + turn.stressor) : null,
      turn.policy ? badge("", turn.policy) : null, turn.cut ? badge("", "cut at the token limit") : null, turn.broke ? badge("leak", "role break: cut where it went on in another's name") : null);
    const said = el("p", { class: "said", dir: "auto", text: pieces ? null : turn.text || "(nothing)" }, pieces ? drawPieces(pieces) : null);
    return el("div", { class: classes.filter(Boolean).join(" ") }, who, said,
      turn.thought ? el("details", { class: "thought" }, el("summary", { text: "private reasoning (nobody in the dialogue saw it)" }), el("p", { dir: "auto", text: turn.thought })) : null,
      turn.candidates ? drawCandidates(turn) : null);
  }
  const believed = (probe, option) => { const at = probe[4] ? probe[4].indexOf(option) : option; return at < 0 ? null : probe[2][at]; };
  function drawProbe(title, before, after, question, held) {
    if (!before && !after) return null;
    const some = after || before;
    const rows = (some[4] || some[2].map((_, index) => index)).map((index) => {
      const right = index === some[3];
      const text = question && question.options[index] ? question.options[index][0] : "Option " + (index + 1);
      const marks = (right ? " ✓ right" : "") + (index === held ? " (held at the start)" : "");
      const bars = [[before, ""], [after, " now"]].filter(([probe]) => probe).map(([probe, kind]) =>
        [el("span", { class: "bar" + kind }, el("i", { style: "width:" + 100 * (believed(probe, index) || 0) + "%" })), el("span", { text: show(believed(probe, index), 3) })]);
      return el("div", { class: "option" + (right ? " right" : "") }, el("span", { class: "name", dir: "auto", text: text + marks }), el("div", { class: "bars" }, bars.flat()));
    });
    const key = before && after ? "Pale bar: before the dialogue. Full bar: after it." : before ? "Before the dialogue." : "After the dialogue.";
    return el("div", { class: "probe" }, el("h4", { text: title }), el("p", { class: "key", text: key }), rows);
  }
  function drawVerdicts(dialogue) {
    if (!dialogue.verdicts.length) return null;
    const invalid = dialogue.verdicts.filter((v) => v[2] === "invalid").length;
    const rows = dialogue.verdicts.map((v) => el("li", {}, v[2] === "invalid" ? badge("invalid", "invalid") : null,
      el("span", { text: (v[2] === "invalid" ? " " : "") + v[0] + ", " + v[1] + (v[2] === "invalid" ? "" : ": " + v[2]) + (v[3] === null ? "" : " " + show(v[3], 2)) + (v[4] === null ? "" : ", turn " + v[4]) }), v[5] ? el("small", { dir: "auto", text: v[5] }) : null,
      v[6] ? el("details", {}, el("summary", { text: "What the judge said" }), el("small", { dir: "auto", text: v[6] })) : null));
    const counted = dialogue.verdicts.length + (invalid ? ", " + invalid + " invalid" : "");
    return el("details", { open: invalid > 0 }, el("summary", { text: "Verdicts (" + counted + ")" }), el("ul", { class: "verdicts" }, rows));
  }
  function drawSide(column, dialogue, marked) {
    const head = el("h3", { text: data.columns[dialogue ? dialogue.column : column] });
    if (!dialogue) return el("div", { class: "side" }, head, el("p", { class: "note", text: "This student has no dialogue here." }));
    head.append(el("a", { href: "#dialogue=" + encodeURIComponent(dialogue.id), text: "link" }));
    const last = (kind) => dialogue.probes.filter((probe) => probe[0] === kind).pop();
    const item = data.items[dialogue.item];
    const stats = ["reward " + show(dialogue.reward, 3), "gain " + signed(dialogue.gain, 4), "transfer " + signed(dialogue.transfer, 4),
      dialogue.leaks.length + (dialogue.leaks.length === 1 ? " leak" : " leaks"), show(dialogue.seconds, 1) + " s", dialogue.tokens[1] + " tokens written", dialogue.policy].filter(Boolean).map((part) => part.replaceAll(" ", "\u00a0")).join(" · ");
    const parts = Object.entries(dialogue.parts).map(([name, value]) => name.replace("_", " ") + " " + signed(value, 3)).join(", ");
    const turnwise = dialogue.probes.filter((probe) => probe[0] === "turn").map((probe) => show(believed(probe, probe[3]), 3));
    const failure = dialogue.failure ? el("div", { class: "failure" }, badge("failed", "failed"), " ", el("b", { text: dialogue.failure[0] }), el("span", { text: " in " + dialogue.failure[1] }), el("p", { dir: "auto", text: dialogue.failure[2] })) : null;
    return el("div", { class: "side", "data-id": dialogue.id }, head, el("p", { class: "stats", text: stats }), failure,
      dialogue.turns.map((turn) => drawTurn(turn, dialogue, marked.get(turn))), parts ? el("p", { class: "stats", text: "Reward: " + parts }) : null,
      drawProbe("Belief on the question", last("before"), last("after"), item && item.question, dialogue.held),
      turnwise.length ? el("p", { class: "stats", text: "P(right) after each tutor turn: " + turnwise.join(" → ") }) : null,
      drawProbe("Belief on the transfer question", last("transfer_before"), last("transfer"), item && item.transfer, -1), drawVerdicts(dialogue));
  }
  // The tutor's turns side by side: the first with the first, the second with the second.
  function markDifferences(entry) {
    const marked = new Map();
    if (!state.differ || !entry.left || !entry.right) return marked;
    const [left, right] = [entry.left, entry.right].map((d) => d.turns.filter((turn) => turn.role === "tutor" && turn.text));
    for (let at = 0; at < Math.min(left.length, right.length); at++) {
      const [first, second] = differingWords(left[at].text, right[at].text);
      marked.set(left[at], first).set(right[at], second);
    }
    return marked;
  }
  function drawCase() {
    const entry = cases[state.at];
    if (!entry) { box.view.replaceChildren(el("p", { class: "lead", text: "Nothing to show with these filters." })); return; }
    const [first] = both(entry);
    if (!both(entry).some((d) => d.id === state.id)) state.id = first.id;
    const item = data.items[first.item];
    const held = item && item.question.options[first.held];
    const asked = el("div", { class: "asked" }, el("p", { class: "q", dir: "auto", text: item ? item.question.text : "Item " + first.item }),
      el("p", { class: "held", text: "Student: " + first.persona + ", item " + first.item + ", repeat " + first.repeat + (first.stress ? ", stressor " + stressOf(first) : "") + (held ? ". Holds at the start: " + (held[1] || held[0]) : "") }));
    const marked = markDifferences(entry);
    const sides = [drawSide(state.left, entry.left, marked), state.right >= 0 ? drawSide(state.right, entry.right, marked) : null];
    box.view.replaceChildren(asked, el("div", { class: "sides" }, sides));
  }
  function draw() { drawCase(); drawList(); }

  function choose(label, options, value, then) {
    const select = el("select", { onchange: () => then(select.value) }, options.map(([key, text]) => el("option", { value: key, text: text })));
    select.value = String(value);
    return { select: select, node: el("label", {}, el("span", { text: label }), select) };
  }
  // A filter with the values that occur; none where there is nothing to choose.
  function filter(name, label, options) {
    box[name] = choose(label, [["", "all"], ...options], "", (value) => { state[name] = value; arrange(); });
    return options.length > 1 ? box[name].node : null;
  }
  const field = (name) => (name === "search" ? box.search : box[name].select);
  function build() {
    const columns = data.columns.map((label, index) => [index, label]);
    const values = (read) => [...new Set(data.dialogues.map(read))].sort().map((name) => [name, name]);
    const many = data.columns.length > 1;
    const yes = (first, second) => [["yes", first], ["no", second]];
    box.search = el("input", { type: "search", id: "search", placeholder: "words or \"a phrase\"", oninput: () => { state.search = box.search.value.trim().toLowerCase(); arrange(); } });
    box.left = choose(many ? "Left" : "Tutor", [...columns, ...(many ? [[-1, "(all of them)"]] : [])], state.left, (value) => { state.left = Number(value); if (state.right === state.left) { state.right = -1; box.right.select.value = "-1"; } arrange(); });
    box.right = choose("Right", [[-1, "(nothing)"], ...columns], state.right, (value) => { state.right = Number(value) === state.left ? -1 : Number(value); box.right.select.value = String(state.right); arrange(); });
    box.order = choose("Order", [["run", "as run"], ["rise", "largest rise in " + data.measure], ["fall", "largest fall in " + data.measure], ["leak", "worst leak"]], "run", (value) => { state.order = value; arrange(); });
    box.differ = el("input", { type: "checkbox", id: "differ", checked: true, onchange: () => { state.differ = box.differ.checked; drawCase(); } });
    box.count = el("span", { role: "status" });
    box.list = el("div", { class: "list", role: "group", "aria-label": "Students" });
    box.view = el("div", { id: "view", "aria-live": "polite" });
    const filters = [filter("persona", "Persona", values((d) => d.persona)), filter("item", "Item", values((d) => d.item)), filter("stress", "Stressor @ intensity", values((d) => stressOf(d) || "none")),
      filter("leak", "Leak", yes("with a leak", "without")), filter("verdict", "Verdict", ["pass", "fail", "invalid"].map((kind) => [kind, kind])), filter("failed", "Failed", yes("failed", "finished"))];
    app.append(el("div", { class: "controls" }, el("label", {}, el("span", { text: "Search" }), box.search), box.left.node, many ? box.right.node : null, box.order.node,
      el("button", { type: "button", id: "previous", onclick: () => go(-1), text: "← previous" }), el("button", { type: "button", id: "next", onclick: () => go(1), text: "next →" }),
      el("div", { class: "wide" }, filters, many ? el("label", { class: "tick" }, box.differ, el("span", { text: "mark the tutors' differing words" })) : null)),
      el("p", { class: "note" }, box.count, el("span", { text: " · arrow keys ← → walk through the students" })), el("div", { class: "desk" }, box.list, box.view));
    for (const name of Object.keys(FILTERS)) if (name !== "search") field(name).id = "filter-" + name;
    app.hidden = false;
  }
  // #dialogue=<id>&turn=<index>, as the tables link; #d and #t in older links
  function follow() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const id = asked.get("dialogue") || asked.get("d");
    if (!id) return;
    const dialogue = data.dialogues.find((d) => d.id === id);
    if (!dialogue) { box.count.textContent = "Dialogue " + id + " is not in this page; the run folder has it."; app.scrollIntoView(); return; }
    if (dialogue.column !== state.left && (dialogue.column !== state.right || state.left < 0)) {
      state.left = dialogue.column;
      const other = data.dialogues.some((d) => d.column === state.right && cellOf(d) === cellOf(dialogue));
      if (state.right === state.left || !other) state.right = -1;
    }
    const turn = asked.get("turn") || asked.get("t");
    Object.assign(state, FILTERS, { id: id, turn: turn === null ? null : Number(turn) });
    for (const name of Object.keys(FILTERS)) field(name).value = "";
    box.left.select.value = String(state.left); box.right.select.value = String(state.right);
    arrange();
    (box.view.querySelector(".target") || box.view).scrollIntoView({ block: box.view.querySelector(".target") ? "center" : "start" });
  }
  addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ...(box.list && box.list.contains(event.target) ? { ArrowUp: -1, ArrowDown: 1 } : {}) };
    if (steps[event.key]) { event.preventDefault(); go(steps[event.key]); }
  });
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((node) => { node.open = true; }));
  if (!data.dialogues.length) { app.hidden = false; app.append(el("p", { class: "lead", text: "This run has no dialogues." })); return; }
  addEventListener("hashchange", follow);
  addEventListener("click", (event) => {
    // a link to what the address already says changes nothing by itself
    const link = event.target.closest("a");
    if (link && link.hash.startsWith("#dialogue=") && link.hash === location.hash) follow();
  });
  build();
  arrange();
  follow();
})();
