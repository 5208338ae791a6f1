/* Two runs side by side: what changed in settings, inputs and numbers, Table 5.1, and curves. */
(function () {
  var runs = JSON.parse(document.getElementById("history-data").textContent);
  var beside = JSON.parse(document.getElementById("beside-data").textContent);
  var first = document.getElementById("run-a"), second = document.getElementById("run-b");
  var place = document.getElementById("comparison");
  [first, second].forEach(function (list) {
    runs.forEach(function (run, i) {
      list.add(new Option(run.when.slice(0, 16).replace("T", " ") + "  " + run.folder, i));
    });
    list.addEventListener("change", compare);
  });
  first.value = runs.length - 2;
  second.value = runs.length - 1;

  function cell(row, text, name) {
    var made = document.createElement(name || "td");
    made.textContent = text === undefined ? "–" : String(text);
    if (name) made.scope = "row";
    row.appendChild(made);
    return made;
  }
  function part(title, a, b) {
    var keys = Object.keys(a).concat(Object.keys(b).filter(function (key) { return !(key in a); }));
    var changed = keys.filter(function (key) { return JSON.stringify(a[key]) !== JSON.stringify(b[key]); });
    var heading = document.createElement("h3");
    heading.textContent = title + (changed.length ? "" : ": no difference");
    place.appendChild(heading);
    if (!changed.length) return;
    var table = document.createElement("table");
    changed.forEach(function (key) {
      var row = table.insertRow();
      cell(row, key.replace(/_/g, " "), "th");
      cell(row, a[key]);
      cell(row, b[key]);
    });
    place.appendChild(table);
  }
  function pictures(a, b) {
    Object.keys(a).filter(function (name) { return name in b; }).forEach(function (name) {
      var heading = document.createElement("h3"), pair = document.createElement("div");
      heading.textContent = name;
      pair.className = "pair-of";
      [a, b].forEach(function (one, i) {
        var image = document.createElement("img");
        image.src = one[name];
        image.alt = name + ", " + (i ? "second" : "first") + " run";
        pair.appendChild(image);
      });
      place.appendChild(heading);
      place.appendChild(pair);
    });
  }
  function flat(rows) {   // Table 5.1 as one value a condition and measure
    var found = {};
    rows.forEach(function (row) {
      Object.keys(row).forEach(function (name) {
        if (name.slice(-6) === ", ours") found[row.condition + ": " + name.slice(0, -6)] = row[name];
      });
    });
    return found;
  }
  function compare() {
    var a = runs[first.value], b = runs[second.value];
    place.textContent = "";
    part("Settings", a.settings, b.settings);
    part("Inputs", a.inputs, b.inputs);
    part("Numbers", a.numbers, b.numbers);
    if (a.folder === b.folder) return;   // a folder keeps the tables and figures of its latest run alone
    part("Table 5.1, ours", flat(beside[a.folder].table), flat(beside[b.folder].table));
    pictures(beside[a.folder].pictures, beside[b.folder].pictures);
  }
  compare();
})();
