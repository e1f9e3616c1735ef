'use strict';

if (shown.digits) startCells(shown.digits);

/** A click on a cell of the confusion matrix shows the test digits in it. */
function startCells(digits) {
  const panel = document.getElementById('cell');
  const buttons = document.querySelectorAll('.matrix button');
  buttons.forEach((button) => {
    button.setAttribute('aria-pressed', 'false');
    button.addEventListener('click', () => {
      buttons.forEach((other) => other.setAttribute('aria-pressed', String(other === button)));
      showCell(panel, digits, button);
    });
  });
}

function showCell(panel, digits, button) {
  const [right, predicted] = button.dataset.cell.split(',').map((label) => shown.names[label]);
  const found = digits.cells[button.dataset.cell];
  const count = Number(button.textContent);
  const title = document.createElement('h3');
  title.textContent = right === predicted
    ? `${right}, read right: the ${found.length} it was least sure of, of ${count}`
    : `${right}, read as ${predicted}: ${found.length < count ? `${found.length} of ` : ''}${count}`;
  const list = document.createElement('ul');
  list.className = 'digits';
  list.append(...found.map((one) => digitItem(digits, right, predicted, one)));
  panel.replaceChildren(title, list);
}

function digitItem({ sprite, side, columns }, right, predicted, [at, index, probability]) {
  const SHOWN = 56; // pixels of the page
  const item = document.createElement('li');
  const picture = document.createElement('span');
  const share = document.createElement('small');
  picture.setAttribute('role', 'img');
  picture.setAttribute('aria-label', `Test ${shown.thing} ${index}: ${right} read as ${predicted}`);
  picture.title = `test ${shown.thing} ${index}`;
  picture.style.width = picture.style.height = `${SHOWN}px`;
  picture.style.backgroundImage = `url(${sprite})`;
  picture.style.backgroundSize = `${SHOWN * columns}px`;
  picture.style.backgroundPosition =
    `-${(at % columns) * SHOWN}px -${Math.floor(at / columns) * SHOWN}px`;
  share.textContent = `${Math.round(100 * probability)} %`;
  item.append(picture, share);
  return item;
}
