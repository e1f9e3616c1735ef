'use strict';

startViews(shown.views);

/**
 * Shows the first run; another when it is chosen, and its row of all runs in bold.
 * A run's drawing and matrix start with it.
 */
function startViews(views) {
  const started = new Set();
  const select = document.getElementById('chosen-run');

  function show(number) {
    document.querySelectorAll('[data-view]').forEach((part) => {
      part.hidden = Number(part.dataset.view) !== number;
    });
    document.querySelectorAll('[data-row]').forEach((row) => {
      row.classList.toggle('main', Number(row.dataset.row) === number);
    });
    if (started.has(number)) return;
    started.add(number);
    const root = document.querySelector(`.view[data-view="${number}"]`);
    if (views[number].networks.length) startDrawing(root, views[number]);
    if (views[number].digits) startCells(root, views[number]);
  }

  if (select) {
    document.getElementById('choice').hidden = false;
    select.addEventListener('change', () => show(Number(select.value)));
  }
  // a browser keeps what was chosen when a page is loaded again
  show(select ? Number(select.value) : 0);
}
