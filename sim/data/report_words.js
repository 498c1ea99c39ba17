"use strict";
// Which words of two texts differ: the longest common subsequence of their words, case and punctuation aside.
window.differingWords = (function () {
  const LONGEST = 700;
  const split = (text) => text.match(/\s+|\S+/g) || [];
  const plain = (word) => word.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "") || word;
  // For each text its pieces as [text, differs]; spaces never differ.
  return function (left, right) {
    const sides = [split(left), split(right)];
    const words = sides.map((side) => side.map((piece, at) => [piece, at]).filter(([piece]) => /\S/.test(piece)));
    const [a, b] = words.map((side) => side.map(([piece]) => plain(piece)));
    const kept = [new Set(), new Set()];
    if (a.length <= LONGEST && b.length <= LONGEST) {
      const width = b.length + 1;
      const best = new Uint16Array((a.length + 1) * width);
      for (let i = a.length - 1; i >= 0; i--)
        for (let j = b.length - 1; j >= 0; j--)
          best[i * width + j] = a[i] === b[j] ? best[(i + 1) * width + j + 1] + 1 : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
      for (let i = 0, j = 0; i < a.length && j < b.length; ) {
        if (a[i] === b[j]) { kept[0].add(words[0][i++][1]); kept[1].add(words[1][j++][1]); }
        else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) i++;
        else j++;
      }
    }
    return sides.map((side, which) => side.map((piece, at) => [piece, /\S/.test(piece) && !kept[which].has(at)]));
  };
})();
