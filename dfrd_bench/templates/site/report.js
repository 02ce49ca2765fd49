"use strict";
// Binds the page to DataTables (tables) and Vega (charts); what is left is the theme, comparing, and one file's pages.
(() => {
  const root = document.documentElement;
  const main = document.getElementById("main");

  // Theme: the system's, unless the reader chose another.
  const button = document.getElementById("theme");
  const preferred = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (preferred.matches ? "dark" : "light")) === "dark";
  const showTheme = () => {
    root.classList.toggle("dark", isDark());
    button.textContent = isDark() ? "Light theme" : "Dark theme";
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("dfrd-theme", root.dataset.theme); } catch { /* the choice lasts as long as the page */ }
    showTheme();
  });
  preferred.addEventListener("change", showTheme);
  showTheme();

  // Tables: what each kind is offered beside sorting.
  const names = (table, place) => {
    const heads = [...table.tHead.querySelectorAll("th[data-name]")];
    return heads.find((head) => Number(head.dataset.dtColumn) === place)?.dataset.name;
  };
  const enhanceTable = (table) => {
    const kind = table.dataset.table;
    const many = table.tBodies[0].rows.length > (kind === "board" ? 60 : 25); // a leaderboard is seen whole, if it can be
    const unsorted = [...table.tHead.querySelectorAll("th")].filter((head) => "unsorted" in head.dataset);
    for (const head of unsorted) head.classList.add("dt-orderable-none");
    const hidden = [...table.tHead.querySelectorAll("th")].filter((head) => "hidden" in head.dataset);
    for (const head of hidden) head.classList.add("hidden-at-first");
    table.closest("section")?.querySelector("[data-hint]")?.removeAttribute("hidden");
    const columnText = (_, place, title) => names(table, place) || title;
    // The box around a table scrolls; DataTables' own fields belong outside it.
    const box = table.closest(".table-scroll");
    const built = new DataTables.default(table, {
      paging: many,
      pageLength: 25,
      lengthMenu: [25, 100, { label: "All", value: -1 }],
      order: [],
      autoWidth: false,
      orderCellsTop: false,
      titleRow: null,
      columnDefs: [{ targets: "dt-orderable-none", orderable: false }, { targets: "hidden-at-first", visible: false }],
      language: { search: "Filter:", info: "_START_ to _END_ of _TOTAL_", lengthMenu: "Show _MENU_ rows" },
      layout: {
        topStart: kind === "board" ? { buttons: [{ extend: "colvis", text: "Columns", columnText }] } : null,
        topEnd: "search",
        bottomStart: many ? ["info", "pageLength"] : null,
        bottomEnd: many ? "paging" : null,
      },
    });
    const container = built.table().container();
    for (const row of [...container.querySelectorAll(".dt-layout-row:not(.dt-layout-table)")]) {
      row.compareDocumentPosition(table) & Node.DOCUMENT_POSITION_FOLLOWING ? box.before(row) : box.after(row);
    }
    return built;
  };

  // Charts: the kind is drawn once for all pages; a page brings its numbers.
  const objects = ({ columns, rows }) => rows.map((row) => Object.fromEntries(columns.map((name, k) => [name, row[k]])));
  const drawn = new WeakSet();
  const drawChart = async (box) => {
    if (drawn.has(box)) return;
    drawn.add(box);
    const holder = box.querySelector(".chart");
    const kind = structuredClone(window.chartKinds[holder.dataset.kind]);
    const pick = box.querySelector("[data-attack]");
    const rows = objects(JSON.parse(box.querySelector("script").textContent));
    kind.datasets = { ...kind.datasets, rows };
    // What depends on how much there is, and on the window: heights, least widths (wider than a phone, the box scrolls), columns.
    const { step, by, across, cell, beside, entry, panel } = kind.usermeta ?? {};
    // A legend names only what is there.
    const present = new Set(rows.map((row) => row.kind));
    for (const { encoding } of kind.layer ?? []) {
      for (const { field, scale } of [encoding.color ?? {}, encoding.shape ?? {}]) {
        if (field !== "kind") continue;
        const kept = scale.domain.map((name) => present.has(name));
        for (const part of ["domain", "range"]) scale[part] = scale[part].filter((_, k) => kept[k]);
      }
    }
    const count = (name) => new Set(rows.map((row) => row[name])).size;
    if (step) kind.height = step * count(by);
    if (across) holder.style.minWidth = `${beside + cell * count(across)}px`;
    if (entry) {
      kind.config.legend.columns = Math.max(1, Math.floor(holder.clientWidth / entry));
      kind.config.legend.labelLimit = Math.min(entry, holder.clientWidth - 45) - 45;
    }
    kind.config.text.fontSize = Math.max(9, Math.min(12, holder.clientWidth / 33)); // names keep their places beside points
    if (holder.clientWidth > 900) kind.config.axis.labelLimit = 320;
    if (panel) kind.columns = Math.max(1, Math.floor(holder.clientWidth / panel));
    kind.description = holder.dataset.text;
    if (pick) kind.params = kind.params.map((one) => (one.name === "attack" ? { ...one, value: pick.value } : one));
    const { view } = await vegaEmbed(holder, kind, { mode: "vega-lite", renderer: "svg", actions: false, logLevel: 1 /* errors only */ });
    holder.querySelector("svg")?.setAttribute("role", "img");
    holder.querySelector("svg")?.setAttribute("aria-label", holder.dataset.text);
    pick?.addEventListener("change", () => view.signal("attack", pick.value).runAsync());
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      drawChart(entry.target);
    }
  }, { rootMargin: "400px" });
  window.addEventListener("beforeprint", () => {
    main.querySelectorAll("figure.chart-box").forEach(drawChart);
  });

  // Comparing: numbers and differences of two runs; tests where they were made beforehand.
  const address = () => new URLSearchParams(location.hash.split("?")[1] || "");
  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const compare = (place) => {
    const data = JSON.parse(main.querySelector("[data-compare-data]").textContent);
    const [first, second] = ["A", "B"].map((name) => main.querySelector(`[data-run="${name}"]`));
    const byPage = (name) => data.runs.findIndex((run) => run.page === name);
    const [a, b] = ["a", "b"].map((name) => byPage(address().get(name)));
    const order = [...first.options].map((option) => option.value);
    const [best, next] = a < 0 && b < 0 ? data.begin : [];
    first.value = a >= 0 ? a : best ?? order[0];
    const partner = data.pairs.find(([p, q]) => p === Number(first.value) || q === Number(first.value));
    const other = partner && String(partner[0] === Number(first.value) ? partner[1] : partner[0]);
    second.value = b >= 0 ? b : next ?? other ?? order.find((value) => value !== first.value) ?? order[0];
    const digits = (metric) => (metric === "nsd" ? [1, 3] : [100, 2]);
    const shown = (value, metric, sign = "") => {
      if (value === null || value === undefined) return "–";
      const [scale, places] = digits(metric);
      return (sign && value > 0 ? sign : "") + (scale * value).toFixed(places).replace("-", "−");
    };
    const draw = () => {
      const [one, other] = [Number(first.value), Number(second.value)];
      const [x, y] = [data.runs[one], data.runs[other]];
      const tested = new Map();
      for (const [p, q, attack, metric, low, high, chance, corrected] of data.pairs) {
        if (p === one && q === other) tested.set(`${attack} ${metric}`, [low, high, chance, corrected]);
        if (p === other && q === one) tested.set(`${attack} ${metric}`, [high === null ? null : -high, low === null ? null : -low, chance, corrected]);
      }
      const table = element("table", undefined, { class: "numbers compared" });
      table.append(element("caption", `A: ${x.label}. B: ${y.label}.`));
      const head = table.createTHead().insertRow();
      const headings = ["Number", "A", "B", "A − B", ...(tested.size ? ["95 % interval", "p", "p (Holm)", "Better"] : [])];
      headings.forEach((text, k) => head.append(element("th", text, { scope: "col", class: k ? "" : "name" })));
      const body = table.createTBody();
      data.columns.forEach(([attack, metric, title, lower], k) => {
        const [u, v] = [x.values[k], y.values[k]];
        if (u === null && v === null) return;
        const row = body.insertRow();
        row.append(element("th", title, { scope: "row", class: "name" }));
        const gap = u === null || v === null ? null : u - v;
        for (const text of [shown(u, metric), shown(v, metric), shown(gap, metric, "+")]) row.append(element("td", text));
        if (!tested.size) return;
        const [low, high, chance, corrected] = tested.get(`${attack} ${metric}`) || [null, null, null, null];
        row.append(element("td", low === null ? "–" : `[${shown(low, metric)}, ${shown(high, metric)}]`));
        for (const p of [chance, corrected]) row.append(element("td", p === null ? "–" : p < 0.001 ? "< 0.001" : p.toFixed(3)));
        const told = corrected !== null && corrected < 0.05 && gap !== null && (gap > 0 ? low > 0 : high < 0);
        row.append(element("td", told ? ((gap > 0) !== lower ? "A" : "B") : ""));
        row.className = told ? "told" : "";
      });
      const box = element("div", undefined, { class: "table-scroll", tabindex: "0", role: "group", "aria-label": "Comparison" });
      box.append(table);
      const sameImages = x.images === y.images;
      const said = one === other ? "A and B are the same run."
        : tested.size ? "“Better” names a run where its lead remains after Holm’s correction over these numbers. From the command line:"
        : sameImages ? "These two were not tested beforehand; this command tests them:"
        : "These two were tested on different images: their difference is no fair comparison.";
      const target = main.querySelector("[data-compare]");
      target.replaceChildren(element("p", said), ...(one !== other && sameImages ? [element("pre", `dfrd-bench compare '${x.where}' '${y.where}'`, { class: "command", tabindex: "0" })] : []), box);
      const next = `${place}?a=${encodeURIComponent(x.page)}&b=${encodeURIComponent(y.page)}`;
      history.replaceState(null, "", next);
    };
    first.addEventListener("change", draw);
    second.addEventListener("change", draw);
    main.querySelector("[data-swap]").addEventListener("click", () => {
      [first.value, second.value] = [second.value, first.value];
      draw();
    });
    draw();
  };

  // Everything that a page's content asks for.
  let tables = [];
  const enhance = () => {
    tables.forEach((table) => table.destroy());
    tables = [...main.querySelectorAll("table[data-table]")].map(enhanceTable);
    main.querySelectorAll("figure.chart-box").forEach((box) => watcher.observe(box));
    main.querySelectorAll("[data-intervals]").forEach((box) => box.addEventListener("change", () => {
      box.closest("section").querySelectorAll("table").forEach((table) => table.classList.toggle("with-intervals", box.checked));
    }));
    if (main.querySelector("[data-compare]")) compare(main.dataset.page ? "#/compare" : "#");
  };

  // One file: its other pages wait in templates until somebody follows a link to them.
  const home = main.dataset.page && main.innerHTML;
  const turn = () => {
    const wanted = location.hash.startsWith("#/") ? location.hash.slice(2).split("?")[0] : "index";
    if (wanted === main.dataset.page) return;
    const found = [...document.querySelectorAll("template[data-page]")].find((page) => page.dataset.page === wanted);
    if (!found && wanted !== "index") return;
    tables.forEach((table) => table.destroy());
    tables = [];
    main.dataset.page = wanted;
    if (found) main.replaceChildren(found.content.cloneNode(true));
    else main.innerHTML = home;
    const brand = document.querySelector(".brand").textContent;
    document.title = found ? `${found.dataset.title} · ${brand}` : brand;
    for (const link of document.querySelectorAll("[data-nav]")) {
      if (link.dataset.nav === wanted) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    enhance();
    window.scrollTo(0, 0);
    main.focus({ preventScroll: true });
  };
  if (main.dataset.page) window.addEventListener("hashchange", turn);
  enhance();
  if (main.dataset.page) turn();
})();
