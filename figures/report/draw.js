'use strict';

const shown = JSON.parse(document.getElementById('shown').textContent);
const PEN = 24; // of 280: what a pen's stroke is in MNIST
const FOR = [214, 69, 61]; // as in templates.py
const AGAINST = [59, 120, 216];

if (shown.networks.length) startDrawing(shown.networks, shown.digits);

function startDrawing(networks, digits) {
  const panel = document.getElementById('draw-panel');
  const pad = document.getElementById('pad');
  const paper = pad.getContext('2d', { willReadFrequently: true });
  const said = document.getElementById('said');
  const main = unpack(networks[0]);
  const last = networks[networks.length - 1];
  const linear = last.sizes.length === 2 ? unpack(last)[0] : null;
  let isExample = false;
  let pending = false;
  panel.hidden = false;

  function clear() {
    paper.fillStyle = '#000';
    paper.fillRect(0, 0, pad.width, pad.height);
    isExample = false;
    said.textContent = `Draw a ${shown.thing}.`;
    classify();
  }

  function classify() {
    const picture = pose(prepare(ink(paper), pad.width), shown.form);
    const shares = picture && softmax(logits(main, picture));
    showPicture(picture);
    showBars(shares);
    if (linear) showAgreement(linear, picture);
    return shares;
  }

  function line(from, to) {
    paper.strokeStyle = '#fff';
    paper.lineWidth = PEN;
    paper.lineCap = 'round';
    paper.beginPath();
    paper.moveTo(...from);
    paper.lineTo(...to);
    paper.stroke();
    paper.beginPath();  // a tap is a dot, which a line without length does not draw
    paper.arc(...to, PEN / 2, 0, 2 * Math.PI);
    paper.fillStyle = '#fff';
    paper.fill();
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      classify();
    });
  }

  let before = null;
  const place = (event) => {
    const frame = pad.getBoundingClientRect();
    const scale = pad.width / frame.width;
    return [(event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale];
  };
  pad.addEventListener('pointerdown', (event) => {
    if (isExample) clear();
    pad.setPointerCapture(event.pointerId);
    before = place(event);
    line(before, before);
  });
  pad.addEventListener('pointermove', (event) => {
    if (!before) return;
    const now = place(event);
    line(before, now);
    before = now;
  });
  const lift = () => {
    if (before) said.textContent = reading(classify());
    before = null;
  };
  pad.addEventListener('pointerup', lift);
  pad.addEventListener('pointercancel', lift);
  document.getElementById('clear').addEventListener('click', clear);
  clear();
  if (!digits) return;

  const sprite = new Image();
  const showExample = () => {
    const [at, label] = digits.examples[Math.floor(Math.random() * digits.examples.length)];
    clear();
    const from = [(at % digits.columns) * SIDE, Math.floor(at / digits.columns) * SIDE, SIDE, SIDE];
    paper.drawImage(sprite, ...from, 0, 0, pad.width, pad.height);
    isExample = true;
    said.textContent = `A test ${shown.thing}: ${shown.names[label]}. ${reading(classify())}`;
  };
  document.getElementById('example').addEventListener('click', showExample);
  sprite.onload = showExample;
  sprite.src = digits.sprite;
}

/** What is read, in the words of `mnist-fn predict`: below the measured limit it is unsure. */
function reading(shares) {
  const best = shares.indexOf(Math.max(...shares));
  const doubt = shares[best] < shown.unsure ? `, ${shown.doubt}` : '';
  return `It reads ${shown.names[best]} (${percent(shares[best])})${doubt}.`;
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

function showPicture(picture) {
  paint(document.getElementById('seen'), (i) => {
    const value = picture ? picture[i] : 0;
    return [value, value, value, 255];
  });
}

function showBars(shares) {
  const highest = shares && Math.max(...shares);
  document.querySelectorAll('.bars tr').forEach((row, digit) => {
    const share = shares ? shares[digit] : 0;
    row.classList.toggle('best', shares !== null && share === highest);
    row.querySelector('span').style.width = `${100 * share}%`;
    row.querySelector('.share').textContent = shares ? percent(share) : '–';
  });
}

/** Pixel times weight for each class, on one scale, and the logit that they sum up to. */
function showAgreement({ kernel, bias }, picture) {
  const panel = document.getElementById('agreement');
  const classes = bias.length;
  const parts = kernel.map((w, i) => (picture ? (w * picture[Math.floor(i / classes)]) / 255 : 0));
  const largest = parts.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-9);
  const sums = picture ? logits([{ kernel, bias }], picture) : null;
  panel.hidden = false;
  panel.querySelectorAll('li').forEach((item, label) => {
    paint(item.querySelector('canvas'), (i) => {
      const part = parts[i * classes + label] / largest;
      return [...(part > 0 ? FOR : AGAINST), 255 * Math.sqrt(Math.abs(part))];
    });
    item.querySelector('.logit').textContent = sums ? sums[label].toFixed(1).replace('-', '−') : '–';
    item.classList.toggle('best', sums !== null && sums[label] === Math.max(...sums));
  });
}

/** Colour a 28 x 28 canvas: `colour` gives red, green, blue and opacity of each pixel. */
function paint(canvas, colour) {
  const image = new ImageData(SIDE, SIDE);
  for (let i = 0; i < SIDE * SIDE; i++) image.data.set(colour(i), 4 * i);
  canvas.getContext('2d').putImageData(image, 0, 0);
}
