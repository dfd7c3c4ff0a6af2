/** A batch of lines as JSON, each with an end. They come at least once: the id makes two of a line one. */
export function lines({ build, attempt, firstSeq, text, ends }) {
  return Array.from(ends, (end, index) => {
    const id = `${build}/${attempt}/${firstSeq + BigInt(index)}`;
    const line = new TextDecoder().decode(text.slice(ends[index - 1] ?? 0, end));
    return `${JSON.stringify({ id, text: line })}\n`;
  }).join("");
}
