'use strict';

/** A click on a number of the confusion matrix shows the test digits behind it. */
function startCells(root, view) {
  const panel = root.querySelector('.cell');
  const buttons = root.querySelectorAll('.matrix button');
  buttons.forEach((button) => {
    button.setAttribute('aria-pressed', 'false');
    button.addEventListener('click', () => {
      buttons.forEach((other) => other.setAttribute('aria-pressed', String(other === button)));
      showCell(panel, view, button);
    });
  });
}

function showCell(panel, view, button) {
  const [right, predicted] = button.dataset.cell.split(',').map((label) => view.names[label]);
  const items = view.digits.cells[button.dataset.cell];
  const count = Number(button.textContent);
  const title = document.createElement('h3');
  title.textContent = right === predicted
    ? `${right}, read right: the ${items.length} of lowest probability, of ${counted(count, view.thing)}`
    : `${right}, read as ${predicted}: ${items.length < count ? `${items.length} of ` : ''}${counted(count, view.thing)}`;
  const list = document.createElement('ul');
  list.className = 'digits';
  list.append(...items.map((item) => digitItem(view, right, predicted, item)));
  panel.replaceChildren(title, list);
}

function counted(count, noun) {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}

function digitItem(view, right, predicted, [at, index, probability]) {
  const SHOWN = 56; // pixels of the page
  const { sprite, columns } = view.digits;
  const item = document.createElement('li');
  const picture = document.createElement('span');
  const share = document.createElement('small');
  picture.setAttribute('role', 'img');
  picture.setAttribute('aria-label', `Test ${view.thing} ${index}: ${right} read as ${predicted}`);
  picture.title = `test ${view.thing} ${index}`;
  picture.style.width = picture.style.height = `${SHOWN}px`;
  picture.style.backgroundImage = `url(${sprite})`;
  picture.style.backgroundSize = `${SHOWN * columns}px`;
  picture.style.backgroundPosition =
    `-${(at % columns) * SHOWN}px -${Math.floor(at / columns) * SHOWN}px`;
  share.textContent = `${Math.round(100 * probability)} %`;
  item.append(picture, share);
  return item;
}
