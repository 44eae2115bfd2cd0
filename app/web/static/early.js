// Before the page is drawn, so that nobody who chose dark sees a flash of light; see reading.js.
document.documentElement.dataset.theme = localStorage.getItem("dm.theme") ?? "auto";
document.documentElement.dataset.size = localStorage.getItem("dm.size") ?? "m";
