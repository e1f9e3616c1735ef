'use strict';

const shown = JSON.parse(document.getElementById('shown').textContent);
const PEN = 24; // of 280: what a pen's stroke is in MNIST
const FOR = [214, 69, 61]; // as in templates.py
const AGAINST = [59, 120, 216];

/** The drawing of one run: strokes on the pad, each digit's probability, what the network sees. */
function startDrawing(root, view) {
  const { side, digits } = view;
  const panel = root.querySelector('.draw');
  const pad = root.querySelector('.pad');
  const said = root.querySelector('.said');
  const undo = root.querySelector('.undo');
  const pen = root.querySelector('.pen-width');
  pad.width = pad.height = side * Math.floor(280 / side);  // whole pixels of the network's
  const paper = pad.getContext('2d', { willReadFrequently: true });
  const main = unpack(view.networks[0]);
  const last = view.networks[view.networks.length - 1];
  const linear = last.sizes.length === 2 ? unpack(last)[0] : null;
  let strokes = [];  // each {width, points}, in the order drawn
  let isExample = false;
  let pending = false;
  let pointer = null;  // the one that draws: a second finger or a palm does not
  pen.value = side === SIDE ? PEN : Math.max(PEN, 350 / side);
  panel.hidden = false;

  function erase() {
    paper.fillStyle = '#000';
    paper.fillRect(0, 0, pad.width, pad.height);
    isExample = false;
  }

  function clear() {
    strokes = [];
    redraw();
  }

  function redraw() {
    erase();
    strokes.forEach(({ width, points }) => {
      points.forEach((point, i) => line(width, points[Math.max(i - 1, 0)], point));
    });
    undo.disabled = strokes.length === 0;
    said.textContent = strokes.length ? reading(view, classify()) : `Draw a ${view.thing}.`;
    if (!strokes.length) classify();
  }

  function classify() {
    const picture = seenBy(view, paper);
    const shares = picture && softmax(logits(main, picture));
    showPicture(root, side, picture);
    showBars(root, shares);
    if (linear) showAgreement(root, side, linear, picture);
    return shares;
  }

  function line(width, from, to) {
    paper.strokeStyle = '#fff';
    paper.lineWidth = width;
    paper.lineCap = 'round';
    paper.beginPath();
    paper.moveTo(...from);
    paper.lineTo(...to);
    paper.stroke();
    paper.beginPath();  // a tap is a dot, which a line without length does not draw
    paper.arc(...to, width / 2, 0, 2 * Math.PI);
    paper.fillStyle = '#fff';
    paper.fill();
  }

  function extend(event) {
    const { width, points } = strokes[strokes.length - 1];
    const frame = pad.getBoundingClientRect();
    const scale = pad.width / frame.width;
    const point = [(event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale];
    line(width, points.length ? points[points.length - 1] : point, point);
    points.push(point);
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      classify();
    });
  }

  pad.addEventListener('pointerdown', (event) => {
    if (pointer !== null || !event.isPrimary || event.button !== 0) return;
    if (isExample) erase();
    pointer = event.pointerId;
    pad.setPointerCapture(pointer);
    strokes.push({ width: Number(pen.value), points: [] });
    undo.disabled = false;
    extend(event);
  });
  pad.addEventListener('pointermove', (event) => {
    if (event.pointerId === pointer) extend(event);
  });
  const lift = (event) => {
    if (event.pointerId !== pointer) return;
    pointer = null;
    said.textContent = reading(view, classify());
  };
  pad.addEventListener('pointerup', lift);
  pad.addEventListener('pointercancel', lift);
  root.querySelector('.clear').addEventListener('click', clear);
  undo.addEventListener('click', () => {
    strokes.pop();
    redraw();
  });
  clear();
  if (!digits) return;

  const sprite = new Image();
  const showExample = () => {
    const [at, label] = digits.examples[Math.floor(Math.random() * digits.examples.length)];
    clear();
    const from = [(at % digits.columns) * side, Math.floor(at / digits.columns) * side, side, side];
    paper.imageSmoothingEnabled = side === SIDE;
    paper.drawImage(sprite, ...from, 0, 0, pad.width, pad.height);
    isExample = true;
    said.textContent =
      `A test ${view.thing}: ${view.names[label]}. ${reading(view, classify())}`;
  };
  root.querySelector('.example').addEventListener('click', showExample);
  sprite.onload = showExample;
  sprite.src = digits.sprite;
}

/** The pad as the run's network sees it; null if nothing is drawn. */
function seenBy(view, paper) {
  const grey = ink(paper);
  const columns = paper.canvas.width;
  const picture = view.side === SIDE ? prepare(grey, columns) : averaged(grey, columns, view.side);
  return pose(picture, view.form, view.side);
}

/** The mean of each of side × side blocks of a square picture; null if there is no ink. */
function averaged(ink, columns, side) {
  const block = columns / side;
  const sums = new Float64Array(side * side);
  ink.forEach((value, i) => {
    const row = Math.floor(Math.floor(i / columns) / block);
    sums[row * side + Math.floor((i % columns) / block)] += value;
  });
  if (sums.every((sum) => sum === 0)) return null;
  return Uint8Array.from(sums, (sum) => Math.round(sum / block ** 2));
}

/** What is read, in the words of `mnist-fn predict`: below the measured limit it is unsure. */
function reading(view, shares) {
  const best = shares.indexOf(Math.max(...shares));
  const doubt = shares[best] < shown.unsure ? `, ${shown.doubt}` : '';
  const share = percent(shares[best]).replace(' ', '\u00a0');  // no line ends before the %
  return `It reads ${view.names[best]} (${share})${doubt}.`;
}

/** The canvas is black where nothing is drawn, so its red is the ink. */
function ink(paper) {
  const { width, height } = paper.canvas;
  const { data } = paper.getImageData(0, 0, width, height);
  return Float64Array.from({ length: width * height }, (_, i) => data[4 * i]);
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

function showPicture(root, side, picture) {
  paint(root.querySelector('.seen canvas'), side, (i) => {
    const value = picture ? picture[i] : 0;
    return [value, value, value, 255];
  });
}

function showBars(root, shares) {
  const highest = shares && Math.max(...shares);
  root.querySelectorAll('.bars tr').forEach((row, digit) => {
    const share = shares ? shares[digit] : 0;
    row.classList.toggle('best', shares !== null && share === highest);
    row.querySelector('span').style.width = `${100 * share}%`;
    row.querySelector('.share').textContent = shares ? percent(share) : '–';
  });
}

/** Pixel times weight for each class, on one scale, and the logit that they sum up to. */
function showAgreement(root, side, { kernel, bias }, picture) {
  const panel = root.querySelector('.agreement');
  const classes = bias.length;
  const parts = kernel.map((w, i) => (picture ? (w * picture[Math.floor(i / classes)]) / 255 : 0));
  const largest = parts.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-9);
  const sums = picture ? logits([{ kernel, bias }], picture) : null;
  panel.hidden = false;
  panel.querySelectorAll('li').forEach((item, label) => {
    paint(item.querySelector('canvas'), side, (i) => {
      const part = parts[i * classes + label] / largest;
      return [...(part > 0 ? FOR : AGAINST), 255 * Math.sqrt(Math.abs(part))];
    });
    item.querySelector('.logit').textContent = sums ? sums[label].toFixed(1).replace('-', '−') : '–';
    item.classList.toggle('best', sums !== null && sums[label] === Math.max(...sums));
  });
}

/** Colour a square canvas: `colour` gives red, green, blue and opacity of each pixel. */
function paint(canvas, side, colour) {
  const image = new ImageData(side, side);
  for (let i = 0; i < side * side; i++) image.data.set(colour(i), 4 * i);
  canvas.getContext('2d').putImageData(image, 0, 0);
}
