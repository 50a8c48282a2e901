/**
 * A list of any length of which only the rows in sight are elements. One tab stop: the list has the focus, the active row
 * is named by aria-activedescendant, so no row that is used again takes the focus with it.
 */
import { element, setAttribute } from "../shared/dom.ts";

export interface VirtualListOptions<T> {
  readonly label: string;
  readonly rowHeight: number;
  readonly columns: number;
  readonly keyOf: (item: T) => number;
  readonly create: () => HTMLElement;
  readonly fill: (row: HTMLElement, item: T) => void;
  readonly onActivate: (item: T) => void;
  /** By the keyboard, to another row. */
  readonly onMove: (item: T) => void;
  /** Whether newer rows are below, out of sight. */
  readonly onMoreBelow: (more: boolean) => void;
}

const OVERSCAN = 6;

export class VirtualList<T> {
  readonly root: HTMLElement;
  readonly #options: VirtualListOptions<T>;
  readonly #canvas = element("div", { class: "canvas", role: "presentation" });
  readonly #pool: HTMLElement[] = [];
  #items: readonly T[] = [];
  #active: number | undefined;
  #following = true;
  #frame: number | undefined;

  constructor(options: VirtualListOptions<T>) {
    this.#options = options;
    this.root = element(
      "div",
      { class: "rows", role: "grid", tabindex: 0, "aria-label": options.label, "aria-colcount": options.columns },
      this.#canvas,
    );
    this.root.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    this.root.addEventListener("keydown", (event) => this.#onKey(event));
    this.#canvas.addEventListener("click", (event) => this.#onClick(event));
    new ResizeObserver(() => this.#schedule()).observe(this.root);
  }

  /** @param dropped rows that went at the top since last time: the view stays on the same rows */
  setItems(items: readonly T[], dropped: number): void {
    this.#items = items;
    if (!this.#following && dropped > 0) this.root.scrollTop -= dropped * this.#options.rowHeight;
    this.#schedule();
  }

  get following(): boolean {
    return this.#following;
  }

  /** Keeps the newest row in sight from now on. */
  follow(): void {
    this.#setFollowing(true);
    this.#schedule();
  }

  /** Key of the row that is open or was moved to; undefined: none. */
  setActive(key: number | undefined): void {
    this.#active = key;
    this.#schedule();
  }

  #setFollowing(following: boolean): void {
    this.#following = following;
  }

  #schedule(): void {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = undefined;
      this.#render();
    });
  }

  #render(): void {
    const { rowHeight, keyOf, create, fill } = this.#options;
    const height = this.#items.length * rowHeight;
    this.#canvas.style.height = `${height}px`;
    setAttribute(this.root, "aria-rowcount", String(this.#items.length));
    if (this.#following) this.root.scrollTop = height;
    const first = Math.max(0, Math.floor(this.root.scrollTop / rowHeight) - OVERSCAN);
    const last = Math.min(
      this.#items.length,
      Math.ceil((this.root.scrollTop + this.root.clientHeight) / rowHeight) + OVERSCAN,
    );
    let activeInSight = false;
    for (let slot = 0; slot < Math.max(last - first, this.#pool.length); slot++) {
      const item = this.#items[first + slot];
      let row = this.#pool[slot];
      if (first + slot >= last || item === undefined) {
        row?.setAttribute("hidden", "");
        continue;
      }
      if (row === undefined) {
        row = create();
        row.setAttribute("role", "row");
        row.id = `row-${slot}`;
        this.#pool.push(row);
        this.#canvas.append(row);
      }
      const key = keyOf(item);
      row.removeAttribute("hidden");
      if (row.dataset["key"] !== String(key)) {
        row.dataset["key"] = String(key);
        fill(row, item);
      }
      row.style.transform = `translateY(${(first + slot) * rowHeight}px)`;
      setAttribute(row, "aria-rowindex", String(first + slot + 1));
      const active = key === this.#active;
      setAttribute(row, "aria-selected", active ? "true" : "false");
      if (!active) continue;
      activeInSight = true;
      setAttribute(this.root, "aria-activedescendant", row.id);
    }
    if (!activeInSight) this.root.removeAttribute("aria-activedescendant");
    this.#options.onMoreBelow(!this.#following && height > this.root.scrollTop + this.root.clientHeight);
  }

  #onScroll(): void {
    const atEnd = this.root.scrollTop + this.root.clientHeight >= this.root.scrollHeight - this.#options.rowHeight;
    this.#setFollowing(atEnd);
    this.#schedule();
  }

  #onClick(event: MouseEvent): void {
    const row = (event.target as HTMLElement).closest<HTMLElement>("[data-key]");
    if (row === null) return;
    const item = this.#items.find((candidate) => String(this.#options.keyOf(candidate)) === row.dataset["key"]);
    if (item === undefined) return;
    this.root.focus({ preventScroll: true });
    this.#move(item);
    this.#options.onActivate(item);
  }

  #onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.root.clientHeight / this.#options.rowHeight) - 1);
    const now = this.#indexOfActive();
    const steps: Readonly<Record<string, number>> = {
      ArrowDown: now + 1,
      ArrowUp: now === -1 ? this.#items.length - 1 : now - 1,
      PageDown: now + page,
      PageUp: now - page,
      Home: 0,
      End: this.#items.length - 1,
    };
    const wanted = steps[event.key];
    if (wanted !== undefined) {
      event.preventDefault();
      const item = this.#items[Math.min(Math.max(wanted, 0), this.#items.length - 1)];
      if (item !== undefined) {
        this.#move(item);
        this.#options.onMove(item);
      }
      return;
    }
    const item = this.#items[now];
    if ((event.key === "Enter" || event.key === " ") && item !== undefined) {
      event.preventDefault();
      this.#options.onActivate(item);
    }
  }

  #indexOfActive(): number {
    const { keyOf } = this.#options;
    return this.#active === undefined ? -1 : this.#items.findIndex((item) => keyOf(item) === this.#active);
  }

  /** Makes a row the active one and brings it into sight. */
  #move(item: T): void {
    const { keyOf, rowHeight } = this.#options;
    this.#active = keyOf(item);
    const index = this.#items.indexOf(item);
    const top = index * rowHeight;
    this.#setFollowing(false);
    if (top < this.root.scrollTop) this.root.scrollTop = top;
    else if (top + rowHeight > this.root.scrollTop + this.root.clientHeight)
      this.root.scrollTop = top + rowHeight - this.root.clientHeight;
    this.#schedule();
  }
}
