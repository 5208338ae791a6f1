/* Contents that follow the reading, one switch for all code, figures that open large. */
(function () {
  var links = Array.prototype.slice.call(document.querySelectorAll(".contents a"));
  var targets = links.map(function (link) { return document.getElementById(decodeURIComponent(link.hash.slice(1))); });
  var chosen = -1;   // the entry that was pressed, until the reader scrolls: the last headings may not reach the top
  function follow() {
    var place = 0;
    targets.forEach(function (target, i) { if (target && target.getBoundingClientRect().top < 120) place = i; });
    if (window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 4) place = links.length - 1;
    if (chosen >= 0) place = chosen;
    links.forEach(function (link, i) {
      if (i === place) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
    });
  }
  if (links.length) {
    if (window.matchMedia("(max-width: 70rem)").matches)   // above the report: a short screen shows that first
      document.querySelector(".contents details").open = false;
    var waiting = false;
    window.addEventListener("scroll", function () {
      if (!waiting) { waiting = true; requestAnimationFrame(function () { waiting = false; follow(); }); }
    }, { passive: true });
    ["wheel", "touchmove", "keydown", "pointerdown"].forEach(function (kind) {
      window.addEventListener(kind, function () { chosen = -1; }, { passive: true, capture: true });
    });
    links.forEach(function (link, i) { link.addEventListener("click", function () { chosen = i; follow(); }); });
    follow();
  }

  var codeSwitch = document.getElementById("code-switch");
  if (codeSwitch) codeSwitch.addEventListener("click", function () {
    var open = codeSwitch.getAttribute("aria-pressed") !== "true";
    document.querySelectorAll("details.code").forEach(function (part) { part.open = open; });
    codeSwitch.setAttribute("aria-pressed", String(open));
    codeSwitch.textContent = open ? "Hide all code" : "Show all code";
  });

  var box = document.getElementById("enlarged");
  if (box) {
    var large = box.querySelector("img");
    function enlarge(image) {   // the drawing where the page carries it: sharp at any size
      var drawing = image.closest("figure").querySelector('a[download$=".svg"][href^="data:"]');
      large.src = drawing ? drawing.href : image.src;
      large.alt = image.alt;
      box.showModal();
      box.scrollTop = 0;
    }
    document.querySelectorAll(".karyo-figure").forEach(function (figure) {
      var image = figure.querySelector("img"), button = document.createElement("button");
      button.type = "button";
      button.className = "karyo-enlarge";
      button.textContent = "Enlarge";
      figure.querySelector(".karyo-links").appendChild(button);
      [image, button].forEach(function (part) { part.addEventListener("click", function () { enlarge(image); }); });
    });
    box.addEventListener("click", function () { box.close(); });
  }

  document.querySelectorAll("a[data-shown]").forEach(function (link) {   // the page carries each image once
    link.href = link.closest("figure").querySelector("img").src;
  });

  window.addEventListener("beforeprint", function () {   // a printed page cannot be unfolded
    document.querySelectorAll(".provenance details").forEach(function (part) { part.open = true; });
  });
  var hash = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (hash) for (var part = hash; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
})();
