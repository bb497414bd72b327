/** What was sent and has not been answered: spinners, and an honest word when the answer will never come. */

export class Flight {
  constructor() {
    this.pending = new Map();
  }

  /** Begin: returns the id to send. `settled` is called once, with false if the connection broke before the answer. */
  begin(settled) {
    const id = crypto.randomUUID();
    this.pending.set(id, settled);
    return id;
  }

  /** The server answered. */
  settle(id, answered = true) {
    const settled = this.pending.get(id);
    this.pending.delete(id);
    settled?.(answered);
  }

  /** The connection broke: nobody will answer. */
  abandon() {
    for (const id of [...this.pending.keys()]) this.settle(id, false);
  }
}
