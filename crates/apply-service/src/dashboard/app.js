// Everything arrives over one stream: a snapshot first, then every change. Older plans are asked for. What changed is
// drawn once a frame, whatever arrives meanwhile.
"use strict";
(() => {
  const { el, say, refill, seconds, span, clock, full, day } = draw;
  const $ = (id) => document.getElementById(id);
  // The service says something at least every two seconds; after this much silence it is lost.
  const SILENCE = 2900;
  // Symbols up to this many are all shown; of more, the quiet ones are folded, and of those that are loud the rest.
  const phone = matchMedia("(max-width: 40rem)");
  const few = () => (phone.matches ? 6 : 12);

  const model = { plans: new Map(), symbols: new Map(), keep: 100, instance: "", waits: null, trends: null };
  const older = new Map(); // plans that were asked for, by id
  const rows = new Map(); // plan id -> its <details>
  const cards = new Map(); // plan id -> its card while it waits
  const chips = new Map(); // symbol -> its <li>
  const one = location.pathname.startsWith("/plan/") ? decodeURIComponent(location.pathname.slice(6)) : null;
  let filter = null; // what is wanted; none where everything is
  let next; // where older plans go on; undefined before the first question
  let since = 0; // when the service began
  let skew = 0; // the service's clock minus this browser's
  let heard = 0;
  let source = null;

  const serverNow = () => Date.now() + skew;
  const planLink = (id) => el("a", { href: "/plan/" + id, class: "id" }, id);
  const json = async (path) => {
    const answer = await fetch(path);
    const body = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(body.error || "the service answered " + answer.status), { wrong: answer.status === 400 });
    return body;
  };

  // -- drawn once a frame

  const dirty = { plans: new Set(), symbols: new Set(), parts: new Set() };
  let asked = false;
  function redraw(what, which) {
    if (which === undefined) dirty.parts.add(what); else dirty[what].add(which);
    if (asked) return;
    asked = true;
    // A page in the background gets no frames, and is to be true all the same.
    if (document.hidden) setTimeout(flush, 250); else requestAnimationFrame(flush);
  }
  function flush() {
    asked = false;
    const { plans, symbols, parts } = dirty;
    const [changedPlans, changedSymbols, changedParts] = [new Set(plans), new Set(symbols), new Set(parts)];
    for (const set of [plans, symbols, parts]) set.clear();
    for (const id of changedPlans) {
      const plan = model.plans.get(id);
      if (!plan) continue;
      showPlan(plan);
      showWait(plan);
      const symbol = model.symbols.get(plan.symbol);
      if (symbol) changedSymbols.add(plan.symbol);
    }
    if (changedSymbols.size) showSymbols(changedSymbols);
    if (changedParts.has("orders")) showOrders();
    if (changedParts.has("waits") && model.waits) showWaits(model.waits);
    if (changedParts.has("trends") && model.trends) showTrends(model.trends);
  }

  // -- what a plan has come to, in a word and a colour

  function verdict(plan) {
    const { order, result, wait } = plan;
    if (order && order.outcome === "unresolved") return ["bad", "unresolved", "look at the venue: " + order.note];
    if (result && result.unresolved) return ["bad", "unresolved", "look at the venue: " + result.details.join("; ")];
    if (result) {
      if (result.executed) return ["good", "executed", orderText(order) || result.details.join("; ")];
      if (result.would_execute) return ["info", "would execute", result.details.join("; ")];
      const why = result.error || plan.reasons.join(", ");
      if (result.decision === "SKIP") return ["off", "skipped", why];
      if (result.decision === "BLOCKED" || (wait && wait.end && !wait.end.granted)) return ["warn", "blocked", why];
      return ["bad", "not executed", why];
    }
    if (order) return ["info", order.outcome.replace("_", " "), order.note];
    if (wait && !wait.end) return ["info", "waiting", ""];
    if (wait && wait.end) return wait.end.granted ? ["info", "executing", wait.end.detail] : ["warn", "blocked", wait.end.code];
    if (plan.past && plan.decision === "EXECUTE") return ["off", "no result", "neither the stream nor the journal of this machine has its result"];
    const words = { EXECUTE: ["info", "planned"], SKIP: ["off", "skipped"], BLOCKED: ["warn", "blocked"], ERROR: ["bad", "error"] };
    return [...(words[plan.decision] || ["off", plan.decision]), plan.reasons.join(", ")];
  }
  function orderText(order) {
    const amount = order && (order.executed || order.quantity);
    if (!order || !order.side || !(amount || order.price)) return "";
    return [order.side, amount, order.price ? "at " + order.price : ""].filter(Boolean).join(" ");
  }

  // -- the top

  function showVitals(vitals) {
    const words = { open: "Orders can flow", dry_run: "Dry run", halted: "Halted", stuck: "Orders cannot flow", unknown: "Asking" };
    const { state, why } = vitals.flow;
    since = vitals.since;
    $("flow").dataset.state = state;
    say($("flow-word"), words[state] || state);
    say($("flow-why"), state === "halted" ? "by " + why : state === "dry_run" ? "Plans are made, no order is placed." : why || "Granted plans go to the venue.");
    refill($("switches"), ...vitals.switches.map((one) => el("li", {},
      el("b", {}, one.name), ...(one.state === "unknown" ? [" is unknown: ", one.why] : [
        " ", one.why ? "“" + one.why + "”, " : "no reason written down, ",
        one.who ? "by " + one.who : "nobody named", one.since ? el("span", {}, ", since ", clock(one.since, true)) : ", since when is not known",
        ". To end it: ", el("code", {}, one.resume)]))));
    say($("mode"), vitals.mode.replace("_", " "));
    say($("version"), vitals.version);
    if (!one) document.title = (words[state] || state) + " – apply-layer";
    const states = { good: "good", fair: "look at it", bad: "bad", off: "not in use" };
    $("lights").replaceChildren(...vitals.lights.map((light) =>
      el("li", { "data-state": light.state },
        el("span", { class: "lamp", "aria-hidden": "true" }),
        el("b", {}, light.name),
        el("span", { class: "unseen" }, states[light.state] + ":"),
        el("span", { class: "quiet" }, light.text))));
    const list = JSON.stringify(vitals.attention);
    if ($("attention").dataset.list !== list) {
      $("attention").dataset.list = list;
      $("attention").hidden = one !== null || vitals.attention.length === 0;
      refill($("attention-list"), ...vitals.attention.map((item) => el("li", { "data-kind": item.kind },
        el("span", { class: "mark", "aria-hidden": "true" }, "!"),
        el("span", {}, el("b", {}, item.what), " ", item.plan ? planLink(item.plan) : "", " ", el("span", { class: "quiet" }, item.next)))));
    }
    $("past").hidden = !vitals.past;
    say($("past"), vitals.past ? "The history cannot be read: " + vitals.past + ". What happens now is shown." : "");
  }

  // -- waits

  function showWait(plan) {
    const waiting = plan.wait && !plan.wait.end && !plan.result;
    let card = cards.get(plan.id);
    if (!waiting) {
      if (card) { card.remove(); cards.delete(plan.id); }
    } else {
      if (!card) {
        card = el("article", { class: "card", "data-plan": plan.id });
        cards.set(plan.id, card);
        $("waits").prepend(card);
      }
      const missing = plan.wait.permits.filter((permit) => permit.after === null).map((permit) => permit.label);
      card.replaceChildren(
        el("h3", {}, plan.symbol, " ", el("span", { class: "quiet" }, plan.step || plan.action), planLink(plan.id)),
        el("p", { class: "missing" }, missing.length ? "missing: " + missing.join(", ") : "all permits seen"),
        permitList(plan.wait),
        el("progress", { max: plan.wait.until - plan.wait.since, value: 0, "aria-label": "Time until the deadline" }),
        el("p", { class: "left quiet" }));
      tick();
    }
    say($("waiting-count"), String(cards.size));
    $("no-waits").hidden = cards.size > 0;
  }
  // Each word once: the detail of a block may begin with its code and end with its length.
  function ended({ granted, code, detail, waited }) {
    const why = detail.replace(" after " + waited + " ms", "");
    return (granted ? "Granted" : "Blocked") + " after " + span(waited) + ": " + (granted || why.includes(code) ? why : code + ", " + why);
  }
  function permitList(wait) {
    return el("ul", { class: "permits" }, ...wait.permits.map((permit) => {
      const there = permit.after !== null;
      // A no is not a yes that came; what was not read is neither.
      const answer = permit.yes === false ? "no" : permit.yes ? "yes" : there ? "seen" : wait.end ? "never" : "awaited";
      const mark = { yes: "✓", no: "✗", seen: "•", never: "–", awaited: "…" }[answer];
      const words = there ? span(permit.after) + " by " + permit.by : wait.end ? "never came" : "awaited";
      return el("li", { "data-answer": answer },
        el("span", { class: "mark", "aria-hidden": "true" }, mark),
        el("span", {}, permit.label),
        answer === "no" ? el("span", { class: "unseen" }, "said no:") : "",
        el("span", { class: "quiet" }, words + (permit.said ? ": " + permit.said : "")));
    }));
  }
  function tick() {
    for (const [id, card] of cards) {
      const plan = model.plans.get(id);
      if (!plan) continue;
      const { until, since } = plan.wait;
      const left = Math.max(0, until - serverNow());
      const bar = card.querySelector("progress");
      bar.value = until - since - left;
      say(card.querySelector(".left"), left > 0 ? seconds(left) + " left of " + seconds(until - since) : "last try");
    }
  }

  // -- plans, the newest first, under the day on which they were published

  const known = (id) => model.plans.get(id) || older.get(id);
  function passes(plan) {
    if (!filter) return true;
    const same = (wanted, text) => !wanted || (text || "").toLowerCase() === wanted.toLowerCase();
    const { result } = plan;
    return same(filter.symbol, plan.symbol)
      && (!filter.since || plan.at >= filter.since) && (!filter.until || plan.at <= filter.until)
      && (!filter.decision || [plan.decision, result && result.decision, result && result.outcome].some((word) => same(filter.decision, word)))
      && (!filter.reason || [...plan.reasons, (result && result.error) || ""].some((reason) => reason.includes(filter.reason)));
  }
  function showPlan(plan) {
    let row = rows.get(plan.id);
    if (!passes(plan)) {
      if (row) { row.remove(); rows.delete(plan.id); showDays(); }
      return;
    }
    const [state, word, why] = verdict(plan);
    if (!row) {
      row = el("details", { id: "plan-" + plan.id, class: "plan" }, el("summary"), el("div", { class: "body" }));
      rows.set(plan.id, row);
      row.addEventListener("toggle", () => { if (row.open) fillBody(row.lastChild, known(plan.id)); });
      place(row, plan.at);
      if (serverNow() - plan.at < 3000) row.classList.add("fresh");
    }
    row.dataset.state = state;
    refill(row.firstChild,
      clock(plan.at),
      el("b", {}, plan.symbol),
      el("span", { class: "step" }, plan.step || plan.action),
      el("span", { class: "badge", "data-state": state }, word),
      el("span", { class: "why" }, ...draw.breaks(why)));
    // A closed row costs its summary and nothing more.
    if (row.open) fillBody(row.lastChild, plan);
    $("no-plans").hidden = true;
  }
  // Into the order of the times that are shown.
  function place(row, at) {
    row.dataset.at = at;
    row.dataset.day = day(at);
    let before = $("plans").firstElementChild;
    while (before && (!before.dataset.at || Number(before.dataset.at) > at)) before = before.nextElementSibling;
    $("plans").insertBefore(row, before);
    showDays();
  }
  let days = 0;
  function showDays() {
    if (days) return;
    days = setTimeout(() => {
      days = 0;
      for (const heading of document.querySelectorAll(".plans > .day")) heading.remove();
      let last = "";
      for (const row of [...$("plans").children]) {
        const name = row.dataset.day;
        if (name !== last) row.before(el("p", { class: "day quiet" }, name, ", times in " + draw.zone(new Date(Number(row.dataset.at)))));
        last = name;
      }
      $("no-plans").hidden = rows.size > 0;
    }, 0);
  }
  function fillBody(body, plan, apart) {
    const facts = el("dl", {});
    const fact = (name, ...what) => facts.append(el("dt", {}, name), el("dd", {}, ...what));
    fact("Plan", planLink(plan.id), " ", plan.decision, plan.reasons.length ? " – " + plan.reasons.join(", ") : "");
    fact("Published", clock(plan.at, true));
    if (plan.note) fact("Note", plan.note);
    if (plan.action) fact("Proposed", plan.action, plan.kill_score ? ", kill score " + plan.kill_score : "");
    if (plan.wait && !apart) {
      const { end } = plan.wait;
      fact("Permits", permitList(plan.wait));
      facts.lastChild.id = "permits-" + plan.id;
      if (end) fact("Ended", ended(end), end.ttls.length ? " (" + end.ttls.join(", ") + ")" : "");
    }
    if (plan.order) {
      const { took, note, outcome, quantity } = plan.order;
      // A close has a quantity; of a stop the time is not taken.
      const answered = took !== null ? "answered after " + draw.micros(took) : quantity && outcome === "accepted" ? "how long its answer took is not known" : "";
      fact("Order", orderLink(plan), " " + [orderText(plan.order), note, answered].filter(Boolean).join(", "));
    }
    if (plan.result) {
      const { profit, net, commission } = plan.result;
      fact("Result", plan.result.executed ? "executed" : plan.result.error || plan.result.decision, ", ", clock(plan.result.at, true));
      if (profit) fact("Profit", profit + (net ? ", after commission " + net : "") + (commission ? ", commission " + commission : ""));
      for (const detail of plan.result.details) fact("Step", detail);
    }
    for (const other of plan.foreign) {
      fact("Elsewhere", el("b", {}, other.source), ", another program, answered: executed=" + other.executed + (other.error ? ", " + other.error : "") + ". It counts for nothing here. ", clock(other.at, true));
    }
    refill(body, facts);
  }
  const orderLink = (plan) => el("a", { href: "#order-" + plan.id, class: "id" }, plan.order.id || plan.order.outcome.replace("_", " "));

  // -- older plans and filters

  const query = (before) => {
    const parts = Object.entries(filter || {}).filter(([, value]) => value)
      .map(([name, value]) => [name, typeof value === "number" ? new Date(value).toISOString() : value]);
    if (before) parts.push(["before", before]);
    return new URLSearchParams(parts).toString();
  };
  // Of what is there the newest are shown first.
  function showAll() { $("plans").classList.add("all"); }
  async function showOlder() {
    if (!$("plans").classList.contains("all") && rows.size > 30 && next === undefined) { showAll(); return; }
    showAll();
    const before = rows.size;
    // A part of the history is looked through at a time; few plans may pass the filter.
    do await more(); while (filter && next && rows.size < before + 50);
  }
  async function more() {
    const wanted = filter;
    say($("older-why"), "reading…");
    $("older").disabled = true;
    try {
      const past = await json("/api/plans.json?" + query(next));
      if (wanted !== filter) { next = undefined; return; }
      for (const plan of past.plans) {
        if (!model.plans.has(plan.id)) older.set(plan.id, plan);
        showPlan(model.plans.get(plan.id) || plan);
      }
      next = past.next;
      say($("older-why"), (past.next ? "looked back to " + full(Number(past.next.split("-")[0])) : filter && filter.since ? "Nothing older in this time." : "Nothing older is kept.") + (past.unreadable ? " " + past.unreadable + " entries could not be read." : ""));
      $("older").hidden = !past.next;
    } catch (error) {
      // A question that cannot be answered is no trouble of the history.
      say($("older-why"), (error.wrong ? "" : "The history cannot be read: ") + error.message);
      $("older").hidden = false;
      next = undefined;
    }
    $("older").disabled = false;
  }
  function applyFilter() {
    const at = (name) => Date.parse($("by-" + name).value) || null;
    // The field shows whole seconds: the last one belongs to the span.
    const until = at("until") && at("until") + 999;
    const read = { symbol: $("by-symbol").value.trim(), decision: $("by-decision").value, reason: $("by-reason").value.trim(), since: at("since"), until };
    filter = Object.values(read).some(Boolean) ? read : null;
    history.replaceState(null, "", "/" + (filter ? "?" + query() : "") + location.hash);
    older.clear();
    next = undefined;
    showAllPlans();
    $("plans").classList.toggle("all", filter !== null);
    if (filter) showOlder(); else { $("older").hidden = false; say($("older-why"), ""); }
  }
  function showAllPlans() {
    const open = new Set([...rows].filter(([, row]) => row.open).map(([id]) => id));
    rows.clear();
    $("plans").replaceChildren();
    for (const plan of [...older.values(), ...model.plans.values()]) {
      showPlan(plan);
      const row = rows.get(plan.id);
      if (row) { row.open = open.has(plan.id); row.classList.remove("fresh"); }
    }
    showDays();
  }

  // -- orders

  function showOrders() {
    const placed = [...model.plans.values()].filter((plan) => plan.order).sort((a, b) => b.order.at - a.order.at).slice(0, 10);
    const tone = { accepted: "good", rejected: "bad", not_sent: "warn", unknown: "warn", not_executed: "warn", unresolved: "bad" };
    refill($("orders"), ...placed.map((plan) => {
      const { order } = plan;
      return el("li", { id: "order-" + plan.id, tabindex: "-1" },
        el("span", { class: "badge", "data-state": tone[order.outcome] }, order.outcome.replace("_", " ")),
        el("span", {}, el("b", {}, plan.symbol), " ", orderText(order) || order.note),
        el("span", { class: "quiet" }, clock(order.at, true), order.id ? " order " + order.id : "", order.took === null ? "" : " in " + draw.micros(order.took)),
        el("span", { class: "quiet" }, "plan ", planLink(plan.id), " ", plan.wait ? el("a", { href: "#permits-" + plan.id }, "its permits") : ""));
    }));
    $("no-orders").hidden = placed.length > 0;
  }

  // -- symbols: those that somebody has to look at first, the quiet ones folded

  function rank(symbol) {
    const plan = symbol.plan && model.plans.get(symbol.plan);
    const [state, word] = plan ? verdict(plan) : ["off", symbol.plan ? "seen before" : "no plan"];
    if (word === "unresolved") return [0, state, word];
    if (symbol.refused) return [1, "bad", "refused"];
    if (symbol.noes >= 3) return [2, "bad", symbol.noes + " times no"];
    if (word === "waiting" || word === "executing") return [3, state, word];
    if (state === "bad" || state === "warn") return [4, state, word];
    return [plan ? 5 : 6, state, word];
  }
  function chip(symbol) {
    const [order, state, word] = rank(symbol);
    const { proposal } = symbol;
    const plan = symbol.plan && model.plans.get(symbol.plan);
    const item = chips.get(symbol.symbol) || el("li", { "data-symbol": symbol.symbol });
    chips.set(symbol.symbol, item);
    item.dataset.rank = order;
    refill(item,
      el("p", { class: "name" },
        symbol.plan ? el("a", { href: "/plan/" + symbol.plan }, el("b", {}, symbol.symbol)) : el("b", {}, symbol.symbol),
        " ", el("span", { class: "badge", "data-state": state }, word)),
      el("p", {}, ...draw.breaks(symbol.refused || (proposal ? proposal.action : "no proposal yet"))),
      proposal ? el("p", { class: "quiet" }, "kill score " + proposal.kill_score, plan ? el("span", {}, ", ", clock(plan.at, day(plan.at) !== day(serverNow()))) : "") : "");
    return item;
  }
  function showSymbols(changed) {
    for (const name of changed) if (model.symbols.has(name)) chip(model.symbols.get(name));
    const all = [...model.symbols.keys()];
    const by = (name) => Number(chips.get(name).dataset.rank);
    const sorted = all.sort((a, b) => by(a) - by(b) || (a < b ? -1 : 1));
    const most = few(), urgent = sorted.filter((name) => by(name) < 5);
    const loud = all.length <= most ? sorted : urgent.slice(0, most);
    const seen = new Set(loud);
    const quiet = sorted.filter((name) => !seen.has(name));
    $("symbols").classList.toggle("many", all.length > most);
    arrange($("symbols"), loud);
    $("quiet").hidden = quiet.length === 0;
    const folded = urgent.length - loud.length;
    say($("quiet-title"), quiet.length + (loud.length ? " more symbols" : " symbols, all quiet") + (folded > 0 ? ", of which " + folded + " not executed or waiting" : ""));
    if ($("quiet").open) arrange($("quiet-list"), quiet); else $("quiet-list").replaceChildren();
    say($("symbols-count"), String(all.length));
  }
  function arrange(list, names) {
    names.forEach((name, i) => { if (list.children[i] !== chips.get(name)) list.insertBefore(chips.get(name), list.children[i] || null); });
    while (list.children.length > names.length) list.lastChild.remove();
  }

  // -- pictures

  function showWaits(waits) {
    $("histogram").replaceChildren(...draw.histogram(waits));
    $("reviewers").replaceChildren(...draw.reviewers(waits.reviewers));
    $("venue").replaceChildren(...draw.venue(waits.venue, since));
  }
  function showTrends({ outcomes, hour, day: whole }) {
    $("hour").replaceChildren(...draw.outcomes(hour, outcomes, "last hour"));
    $("day").replaceChildren(...draw.outcomes(whole, outcomes, "last day"));
    $("profit").replaceChildren(...draw.profit(whole));
  }

  // -- one plan on a page of its own

  let reading = false, again = false;
  async function showOne() {
    if (reading) { again = true; return; }
    reading = true;
    document.title = "Plan " + one + " – apply-layer";
    try {
      showDetails(await json("/api/plan/" + encodeURIComponent(one)));
    } catch (error) {
      say($("one-title"), "Plan " + one);
      $("one-body").replaceChildren(el("p", { class: "trouble" }, error.message));
    }
    reading = false;
    if (again) { again = false; showOne(); }
  }
  function showDetails({ plan, fields, journal, troubles }) {
    say($("one-title"), "Plan " + one);
    const body = [];
    for (const trouble of troubles) body.push(el("p", { class: "trouble" }, "Not everything can be read: " + trouble));
    const part = (title, ...what) => body.push(el("section", { class: "part" }, el("h3", {}, title), ...what));
    if (!plan) body.push(el("p", { class: "empty" }, "Neither the streams nor this process know this plan."));
    else {
      const [state, word, why] = verdict(plan);
      body.push(el("p", { class: "verdict" }, el("b", {}, plan.symbol), " ", plan.step || plan.action, " ", el("span", { class: "badge", "data-state": state }, word), " ", why));
      if (plan.wait) part("The wait for permits", draw.timeline(plan), permitList(plan.wait),
        plan.wait.end ? el("p", {}, ended(plan.wait.end)) : "");
      else if (plan.past && plan.decision === "EXECUTE") part("The wait for permits", el("p", { class: "empty" }, "Another process saw it: before the last start, or on another machine. Its log has each permit."));
      const facts = el("div");
      fillBody(facts, plan, true);
      part("What became of it", facts);
    }
    if (fields.length) part("The plan as it was published", el("dl", {}, ...fields.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
    part("What the journal of this machine knows", journal.length ? el("pre", {}, journal.join("\n")) : el("p", { class: "empty" }, "Nothing: it was never claimed here, or is older than what is kept."));
    $("one-body").replaceChildren(...body);
  }

  // -- the stream

  function forget() {
    while (model.plans.size > model.keep) {
      const oldest = model.plans.keys().next().value;
      const plan = model.plans.get(oldest);
      model.plans.delete(oldest);
      cards.get(oldest)?.remove();
      cards.delete(oldest);
      // It stays on the page where older ones are shown below it.
      if (next !== undefined) older.set(oldest, plan);
      else { rows.get(oldest)?.remove(); rows.delete(oldest); }
    }
  }
  function onSnapshot({ value: all }) {
    const restarted = model.instance && model.instance !== all.vitals.instance;
    model.instance = all.vitals.instance;
    model.keep = all.keep;
    model.waits = all.waits;
    model.trends = all.trends;
    for (const map of [model.plans, cards]) map.clear();
    if (restarted) { model.symbols.clear(); chips.clear(); }
    $("waits").replaceChildren();
    for (const plan of all.plans) { model.plans.set(plan.id, plan); older.delete(plan.id); }
    showAllPlans();
    for (const plan of model.plans.values()) showWait(plan);
    if (!model.plans.size) { say($("waiting-count"), "0"); $("no-waits").hidden = false; }
    showVitals(all.vitals);
    showSymbols(model.symbols.keys());
    for (const part of ["orders", "waits", "trends"]) redraw(part);
    if (!filter && next === undefined) $("older").hidden = false;
    if (restarted) say($("announcement"), "The service was restarted.");
    if (one) showOne();
    follow();
  }
  function onPlan(plan) {
    const before = model.plans.get(plan.id);
    model.plans.set(plan.id, plan);
    older.delete(plan.id);
    forget();
    redraw("plans", plan.id);
    if (plan.order) redraw("orders");
    if (plan.id === one) showOne();
    if (plan.result && !(before && before.result)) {
      const [, word, why] = verdict(plan);
      say($("announcement"), plan.symbol + " " + word + (why ? ": " + why : ""));
    }
  }

  const handlers = {
    snapshot: onSnapshot,
    plan: ({ value }) => onPlan(value),
    symbols: ({ value }) => { for (const symbol of value) { model.symbols.set(symbol.symbol, symbol); redraw("symbols", symbol.symbol); } },
    symbol: ({ value }) => { model.symbols.set(value.symbol, value); redraw("symbols", value.symbol); },
    vitals: ({ value }) => showVitals(value),
    waits: ({ value }) => { model.waits = value; redraw("waits"); },
    trends: ({ value }) => { model.trends = value; redraw("trends"); },
  };
  function connected(yes) {
    document.body.classList.toggle("lost", !yes);
    say($("link"), yes ? "live" : "connection lost");
    if (yes || $("flow").dataset.state === "unknown") return;
    // What was true when it was last heard of must not pass for what is true now.
    const last = $("flow-word").textContent + " " + ($("flow").dataset.state === "halted" ? $("flow-why").textContent : "");
    $("flow").dataset.state = "unknown";
    say($("flow-word"), "Connection lost");
    say($("flow-why"), "Last heard at " + full(heard) + ": " + last.trim());
    document.title = "Connection lost – apply-layer";
  }
  function connect() {
    if (source) source.close();
    source = new EventSource("/events");
    heard = Date.now();
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        const data = JSON.parse(event.data);
        heard = Date.now();
        skew = data.now - heard;
        connected(true);
        handle(data);
      });
    }
    // The browser comes again by itself, but for an answer that is no stream.
    source.onerror = () => {
      connected(false);
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
    };
  }

  // -- links into closed plans

  function follow() {
    const [hash, part, id] = /^#(plan|permits|order)-([0-9a-f]{16})$/.exec(location.hash) || [];
    const row = part !== "order" && rows.get(id);
    if (row) {
      fillBody(row.lastChild, known(id));
      row.open = true;
      showAll();
    }
    for (const old of document.querySelectorAll(".aimed")) old.classList.remove("aimed");
    const target = hash && document.getElementById(hash.slice(1));
    if (!target) return;
    target.classList.add("aimed");
    target.scrollIntoView({ block: "nearest" });
    (target.querySelector("summary") || target).focus({ preventScroll: true });
  }
  addEventListener("hashchange", follow);

  $("overview").hidden = one !== null;
  document.body.classList.toggle("single", one !== null);
  $("one").hidden = one === null;
  say($("zone"), "Times in " + draw.zone(new Date()) + ".");
  const given = new URLSearchParams(location.search);
  for (const name of ["symbol", "decision", "reason"]) $("by-" + name).value = given.get(name) || "";
  for (const name of ["since", "until"]) $("by-" + name).value = draw.local(given.get(name), name === "until");
  $("span").open = Boolean($("by-since").value || $("by-until").value);
  $("filter").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = $("by-id").value.trim();
    if (id) location.assign("/plan/" + encodeURIComponent(id)); else applyFilter();
  });
  $("older").addEventListener("click", showOlder);
  $("quiet").addEventListener("toggle", () => showSymbols([]));
  phone.addEventListener("change", () => showSymbols([]));
  if (!one && [...given.keys()].length) applyFilter();

  setInterval(() => {
    if (cards.size && !document.hidden) tick();
    if (Date.now() - heard > SILENCE) { connected(false); connect(); }
  }, 100);
  // What was known when the page was sent; the stream sends the rest.
  const sent = JSON.parse($("now").textContent);
  skew = sent.now - Date.now();
  showVitals(sent.value);
  connect();
})();
