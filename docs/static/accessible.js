// What axe-core asks of the theme: what scrolls takes the focus, a caption says its level.
document.addEventListener('DOMContentLoaded', () => {
  for (const one of document.querySelectorAll('pre, .table-wrapper')) one.tabIndex = 0;
  for (const one of document.querySelectorAll('[role=heading]')) one.ariaLevel = '2';
});
