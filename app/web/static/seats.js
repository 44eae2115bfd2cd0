/**
 * The tables at which this browser sits, `{table_id: {name, guest}}`.
 *
 * Where the service asks nobody who they are, everybody is the same user, so whoever follows an
 * invitation gets a user id of their own, for this table and this browser. Where a token says who
 * somebody is, the service ignores it.
 */

const SEATS = "dm.seats";
const PATH = /^\/api\/sessions\/(\d+)/;

export const seats = {
  all: () => JSON.parse(localStorage.getItem(SEATS) ?? "{}"),
  find: (tableId) => seats.all()[tableId] ?? null,
  keep: (tableId, seat) => localStorage.setItem(SEATS, JSON.stringify({ ...seats.all(), [tableId]: seat })),
  drop: (tableId) => localStorage.setItem(SEATS, JSON.stringify({ ...seats.all(), [tableId]: undefined })),
};

/** The user id to send with a request, or null. */
export function guestFor(path) {
  const table = PATH.exec(path)?.[1];
  return (table && seats.find(table)?.guest) || null;
}
