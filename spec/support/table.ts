/** Rows as aligned text columns; numbers stand on the right. The header is separated by two spaces, without lines. */
export function formatTable(
  columns: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  const cells = [columns, ...rows.map((row) => row.map(String))]
  const widths = columns.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)))
  const isNumeric = columns.map(
    (_, column) =>
      rows.length > 0 &&
      rows.every((row) => /^(?:[\d.,]+( ?[a-zA-Zµ%/]+)?|[-–])$/.test(String(row[column] ?? ''))),
  )
  return cells
    .map((row) =>
      widths
        .map((width, column) => {
          const text = row[column] ?? ''
          return isNumeric[column] === true ? text.padStart(width) : text.padEnd(width)
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
