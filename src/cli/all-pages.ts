// Lists that the router gives in pages, put together. Used by the commands that list.

const LARGEST_PAGE = 1000;

/** Asks page after page into `all`, until there are `limit` items or no more; the token of the last page stays when there is more. */
export async function allPages<Page extends { nextPageToken: string }, Item>(
  all: Page,
  itemsOf: (page: Page) => Item[],
  limit: number,
  ask: (page: { readonly pageSize: number; readonly pageToken: string }) => Promise<Page>,
): Promise<Page> {
  const items = itemsOf(all);
  do {
    const page = await ask({ pageSize: Math.min(LARGEST_PAGE, limit - items.length), pageToken: all.nextPageToken });
    items.push(...itemsOf(page));
    all.nextPageToken = page.nextPageToken;
  } while (all.nextPageToken !== "" && items.length < limit);
  return all;
}
