// Put into a page or around a picture by report_page.sh, and nowhere else: what the browser made of it, as an attribute of the body.
const problems = [];
for (const svg of document.querySelectorAll("body svg")) {
  if (svg.parentElement.closest("svg")) continue; // a clip in a picture
  const name = svg.getAttribute("aria-label"), frame = svg.getBoundingClientRect();
  if (frame.width < 300 || frame.height < 20) problems.push(`${name}: ${frame.width} x ${frame.height} pixels`);
  let drawn = 0;
  for (const shape of svg.querySelectorAll("rect, path, line, circle, text")) {
    const box = shape.getBoundingClientRect(), look = getComputedStyle(shape);
    if (shape.tagName === "text" && box.width === 0) problems.push(`${name}: an empty text`);
    if (shape.tagName === "text" && (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1))
      problems.push(`${name}: '${shape.textContent}' sticks out`);
    if (shape.tagName === "rect" && look.fill === "none") problems.push(`${name}: a rectangle without colour`);
    if (shape.tagName === "path" && look.fill === "none" && look.stroke === "none") problems.push(`${name}: a line without colour`);
    if (box.width + box.height > 0) drawn++;
  }
  if (drawn < 5) problems.push(`${name}: ${drawn} shapes`);
  const texts = [...svg.querySelectorAll("text")].map((t) => [t.textContent, t.getBoundingClientRect()]);
  for (let i = 0; i < texts.length; i++)
    for (let k = 0; k < i; k++) {
      const a = texts[i][1], b = texts[k][1];
      if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3)
        problems.push(`${name}: '${texts[i][0]}' lies on '${texts[k][0]}'`);
    }
}
if (document.documentElement.scrollWidth > window.innerWidth) problems.push("the page is wider than the window");
document.body.dataset.pictures = [...document.querySelectorAll("body svg[aria-label]")].length;
document.body.dataset.problems = problems.length === 0 ? "none" : problems.join("; ");
