/* Sorts a karyo table by the column whose heading is pressed, and says where columns are out of sight.
   Works in JupyterLab and in the reports. */
(function () {
  if (window.karyoTables) return;
  window.karyoTables = true;
  document.addEventListener("click", function (event) {
    var button = event.target.closest && event.target.closest(".karyo-table th button");
    if (!button) return;
    var heading = button.parentNode, table = heading.closest("table"), body = table.tBodies[0];
    var column = heading.cellIndex, descending = heading.getAttribute("aria-sort") === "ascending";
    function key(row) {
      var cell = row.cells[column], raw = cell.getAttribute("data-value");
      return raw === null ? cell.textContent.trim() : (raw === "" ? NaN : parseFloat(raw));
    }
    var rows = Array.prototype.map.call(body.rows, function (row, place) { return [key(row), place, row]; });
    rows.sort(function (a, b) {
      var x = a[0], y = b[0], order;
      if (typeof x === "number" && typeof y === "number") {
        if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y) || a[1] - b[1];   // missing values stay last
        order = x - y;
      } else order = String(x).localeCompare(String(y), undefined, { numeric: true });
      return (descending ? -order : order) || a[1] - b[1];
    });
    rows.forEach(function (row) { body.appendChild(row[2]); });
    table.querySelectorAll("th").forEach(function (other) { other.removeAttribute("aria-sort"); });
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  });
  var widths = window.ResizeObserver && new ResizeObserver(function (boxes) {
    boxes.forEach(function (box) { box.target.classList.toggle("more", box.target.scrollWidth > box.target.clientWidth + 1); });
  });
  function watch() { document.querySelectorAll(".karyo-scroll").forEach(function (box) { widths.observe(box); }); }
  if (widths) {
    watch();
    new MutationObserver(watch).observe(document, { childList: true, subtree: true });  // JupyterLab adds cells later
  }
})();
