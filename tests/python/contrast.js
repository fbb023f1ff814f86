// How well the texts of a notebook's outputs can be read: those with less than 4.5:1 against what is behind them, as the
// browser computes their colours. Both themes' backgrounds are opaque in the end.
(() => {
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
    .getContext("2d", { willReadFrequently: true });
  const parts = colour => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top, below) => [0, 1, 2].map(at => top[at] * top[3] + below[at] * (1 - top[3]));
  const background = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(parts(getComputedStyle(at).backgroundColor));
    return layers.reduceRight((below, top) => over(top, below), [255, 255, 255]);
  };
  // WCAG's relative luminance.
  const luminance = colour => {
    const [red, green, blue] = colour.map(value => {
      value /= 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const weak = [];
  let count = 0;
  for (const output of document.querySelectorAll(".jp-OutputArea-output")) {
    const texts = document.createTreeWalker(output, NodeFilter.SHOW_TEXT);
    for (let node = texts.nextNode(); node; node = texts.nextNode()) {
      const element = node.parentElement;
      // Titles in pictures are shown by the browser itself.
      if (!node.textContent.trim() || element.closest("style, script, title")) continue;
      count += 1;
      const style = getComputedStyle(element), back = background(element);
      const front = over(parts(element instanceof SVGElement ? style.fill : style.color), back);
      const [light, dark] = [luminance(front), luminance(back)].sort((a, b) => b - a);
      const ratio = (light + 0.05) / (dark + 0.05);
      if (ratio < 4.5) {
        const colours = [front, back].map(colour => colour.map(Math.round).join(",")).join(" on ");
        weak.push(`${ratio.toFixed(2)}:1 ${colours}: ${node.textContent.trim().slice(0, 60)}`);
      }
    }
  }
  return { count, weak };
})()
