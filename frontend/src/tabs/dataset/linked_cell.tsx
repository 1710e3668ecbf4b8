// The cell of the confusion matrix that is selected; it also filters the embedding and the errors.

import { setTabValues, tabValue } from "../../state/view";

export interface LinkedCell {
  /** "3-5": images of class 3, predicted as class 5. */
  key: string;
  label: string;
  predicted: string;
}

export function linkedCell(): LinkedCell | null {
  const key = tabValue("dataset.cell");
  const [label, predicted] = tabValue("dataset.cell_names").split("|");
  return /^\d+-\d+$/.test(key) ? { key, label: label ?? "", predicted: predicted ?? "" } : null;
}

export const setLinkedCell = (cell: LinkedCell | null): void =>
  setTabValues({ "dataset.cell": cell?.key ?? null, "dataset.cell_names": cell ? `${cell.label}|${cell.predicted}` : null }, true);

/** Says that only the images of the cell are displayed, and takes the filter away. */
export function LinkedCellFilter() {
  const cell = linkedCell();
  if (!cell?.label) return null;
  const how = cell.label === cell.predicted ? "predicted correctly" : `predicted as ${cell.predicted}`;
  return (
    <p class="linked row">
      <span>{`Only images of ${cell.label}, ${how}, as selected in the confusion matrix.`}</span>
      <button onClick={() => setLinkedCell(null)}>Clear filter</button>
    </p>
  );
}
