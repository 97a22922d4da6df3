// The browser's half of WebAuthn Level 3: options and answers as JSON.
interface FromJSON { parseCreationOptionsFromJSON(o: unknown): PublicKeyCredentialCreationOptions; parseRequestOptionsFromJSON(o: unknown): PublicKeyCredentialRequestOptions }

const api = typeof PublicKeyCredential === "undefined" ? undefined : (PublicKeyCredential as unknown as Partial<FromJSON>);

export const passkeysWork = Boolean(api?.parseCreationOptionsFromJSON && api.parseRequestOptionsFromJSON);

const inner = (options: unknown): unknown => (options as { publicKey?: unknown }).publicKey ?? options;
const asJSON = (c: Credential | null): Record<string, unknown> => {
  if (!c) throw new DOMException("no passkey was given", "NotAllowedError");
  return (c as unknown as { toJSON(): Record<string, unknown> }).toJSON();
};

export async function getPasskey(options: unknown): Promise<Record<string, unknown>> {
  return asJSON(await navigator.credentials.get({ publicKey: (api as FromJSON).parseRequestOptionsFromJSON(inner(options)) }));
}

export async function makePasskey(options: unknown): Promise<Record<string, unknown>> {
  return asJSON(await navigator.credentials.create({ publicKey: (api as FromJSON).parseCreationOptionsFromJSON(inner(options)) }));
}
