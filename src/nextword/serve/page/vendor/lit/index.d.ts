// The little of Lit's types that the page uses; ours, not Lit's. Only the type checker reads it.
export type Template = unknown;
type Tag = (strings: TemplateStringsArray, ...values: unknown[]) => Template;

export const html: Tag;
export const svg: Tag;
export const mathml: Tag;
export const nothing: unique symbol;
export const noChange: unique symbol;
export function render(template: Template, into: Element): void;

export class LitElement extends HTMLElement {
  static properties: Record<string, object>;
  static styles: unknown;
  hasUpdated: boolean;
  isUpdatePending: boolean;
  readonly updateComplete: Promise<boolean>;
  connectedCallback(): void;
  disconnectedCallback(): void;
  createRenderRoot(): HTMLElement | DocumentFragment;
  requestUpdate(name?: PropertyKey, old?: unknown): void;
  shouldUpdate(changed: Map<PropertyKey, unknown>): boolean;
  willUpdate(changed: Map<PropertyKey, unknown>): void;
  firstUpdated(changed: Map<PropertyKey, unknown>): void;
  updated(changed: Map<PropertyKey, unknown>): void;
  render(): unknown;
}
